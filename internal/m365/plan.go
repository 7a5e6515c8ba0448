package m365

import "strings"

// Plan says where a subscription plan's Management Activity API lives (spec/management-activity-api.md section 2).
// Every value can be overridden per connector; the table only supplies defaults.
type Plan struct {
	Name     string // enterprise, gcc, gcc_high, dod
	APIURL   string // scheme and host of the API
	Audience string // for which a token is asked; scope = Audience + "/.default"
	LoginURL string // scheme and host of the sign-in service
}

// Plans returns the known plans, the default first.
func Plans() []Plan {
	const worldwide, government = "https://login.microsoftonline.com", "https://login.microsoftonline.us"
	return []Plan{
		{"enterprise", "https://manage.office.com", "https://manage.office.com", worldwide},
		{"gcc", "https://manage-gcc.office.com", "https://manage-gcc.office.com", worldwide},
		{"gcc_high", "https://manage.office365.us", "https://manage.office365.us", government},
		{"dod", "https://manage.protection.apps.mil", "https://manage.protection.apps.mil", government},
	}
}

// PlanNames returns the names of Plans in the same order.
func PlanNames() []string {
	var names []string
	for _, p := range Plans() {
		names = append(names, p.Name)
	}
	return names
}

// PlanByName finds a plan. The empty name means enterprise.
func PlanByName(name string) (Plan, bool) {
	plans := Plans()
	if name == "" {
		return plans[0], true
	}
	for _, p := range plans {
		if p.Name == name {
			return p, true
		}
	}
	return Plan{}, false
}

// loginHosts are the sign-in hosts of Microsoft's clouds (spec/entra-auth.md section 2). For any other host the
// instance discovery at login.microsoftonline.com is off, since it would leak the private name and need the internet.
func loginHosts() []string {
	return []string{
		"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net",
		"login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
		"login.microsoftonline.de",
		"login.sovcloud-identity.fr", "login.sovcloud-identity.de", "login.sovcloud-identity.sg",
	}
}

func isLoginHost(host string) bool {
	for _, h := range loginHosts() {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}
