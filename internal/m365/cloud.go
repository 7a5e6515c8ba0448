package m365

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CheckCloud compares a subscription plan with a sign-in address that was chosen instead of the plan's own and returns
// a warning when the two do not usually go together, naming the usual pair. It is only a warning: any address can be
// right, such as that of a private cloud. The empty address is the plan's own, and addresses on this machine's
// loopback (simulators) are never warned about. Facts: spec/entra-auth.md section 2.
func CheckCloud(plan, authority string) (warning string) {
	p, known := PlanByName(plan)
	u, err := url.Parse(strings.TrimSpace(authority))
	if !known || authority == "" || err != nil || u.Host == "" || isLoopback(u.Hostname()) {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	usual, _ := url.Parse(p.LoginURL)
	pair := fmt.Sprintf("subscription_plan %s usually goes with authentication_endpoint %s", p.Name, p.LoginURL)
	switch cloud := cloudOf(host); {
	case cloud == cloudOf(usual.Hostname()):
		return ""
	case cloud == "":
		return fmt.Sprintf("%s is not one of Microsoft's sign-in hosts, and the credential is sent to it; %s", host, pair)
	case cloud == germany:
		return fmt.Sprintf("%s was closed on 29 October 2021 together with Microsoft's old German cloud; %s, and its tenants have moved there", host, pair)
	case cloud == china:
		return fmt.Sprintf("%s is the sign-in host of the China cloud (21Vianet), which no plan describes: set api_endpoint and api_audience to that cloud's addresses too; otherwise: %s", host, pair)
	}
	return fmt.Sprintf("%s is the sign-in host of %s; %s", host, plansOf(host), pair)
}

// The clouds that the names of sign-in hosts tell apart.
const (
	worldwide  = "worldwide"
	government = "us"
	china      = "china"
	germany    = "germany"
	sovereign  = "sovereign"
)

// cloudOf names the cloud that a sign-in host belongs to, "" when it is not Microsoft's.
func cloudOf(host string) string {
	switch {
	case !isLoginHost(host):
		return ""
	case strings.HasSuffix(host, ".us"):
		return government
	case strings.HasSuffix(host, ".cn"):
		return china
	case host == "login.microsoftonline.de":
		return germany
	case strings.Contains(host, "sovcloud"):
		return sovereign
	}
	return worldwide
}

// plansOf names the plans that sign in at a host.
func plansOf(host string) string {
	var names []string
	for _, p := range Plans() {
		if u, err := url.Parse(p.LoginURL); err == nil && cloudOf(u.Hostname()) == cloudOf(host) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "a sovereign cloud that no plan describes"
	}
	return strings.Join(slices.Compact(names), " and ")
}
