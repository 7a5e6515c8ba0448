package consent

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/internal/fault"
)

// reason is a row of the table of refusals: what Microsoft says, what it means, what to click.
type reason struct {
	codes []string // AADSTS numbers, or names of the parameter error
	kind  fault.Kind
	says  string
	hint  string
}

// Hints that several refusals share. {application_id} is filled in.
const (
	anotherLink  = "make a new link: sluice consent url"
	registration = "open entra.microsoft.com > App registrations > All applications > {application_id} in the directory that owns the application"
	whoConsents  = "let a Global Administrator or Privileged Role Administrator of the customer open a new link; or, if the customer uses requests, let one approve it: " +
		"entra.microsoft.com > Enterprise applications > Admin consent requests"
	multiTenant = registration + " > Authentication > Supported account types and choose Accounts in any organizational directory; " +
		"compare application_id, and subscription_plan with the customer's cloud"
	newSecret = registration + " > Certificates & secrets > Client secrets > New client secret; copy its Value at once and store it where api_access_key points to"
)

// reasons are the refusals that are known (spec/entra-auth.md sections 5 and 6). A code wins over a name.
func reasons() []reason {
	return []reason{
		{[]string{"65004"}, fault.Permission, "the administrator pressed Cancel: nothing was consented", anotherLink + "; press Accept on Microsoft's page"},
		{[]string{"90093", "90094", "90095"}, fault.Permission, "the person who signed in may not consent for the organisation", whoConsents},
		{[]string{"65001"}, fault.Permission, "no administrator of the tenant has consented", whoConsents},
		{
			[]string{"65005", "650053", "650056", "650057"},
			fault.Config, "the app registration does not list the permissions that are asked for",
			registration + " > API permissions > Add a permission > Office 365 Management APIs > Application permissions, tick ActivityFeed.Read " +
				"(and ActivityFeed.ReadDlp for DLP.All); " + anotherLink,
		},
		{
			[]string{"650052", "500011"},
			fault.Config, "the customer's tenant does not have the service whose permissions are asked for",
			"assign a Microsoft 365 licence in the customer's tenant (admin.microsoft.com > Billing > Licenses), or create the service there with: " +
				"az ad sp create --id c5393580-f805-4401-95e8-94b7a6ef2fc2; " + anotherLink,
		},
		{[]string{"650051"}, fault.Unavailable, "Microsoft is adding the application to the tenant at this moment", "wait a minute; " + anotherLink},
		{
			[]string{"50011", "900971"},
			fault.Config, "the redirect URI is not the registered one",
			registration + " > Authentication > Add a platform > Web, and enter redirect_uri letter by letter; " + anotherLink,
		},
		{
			[]string{"700016", "700011", "50194"},
			fault.Config, "the application is not known in the customer's tenant", multiTenant +
				"; if the consent was given just now, wait some minutes and confirm it: sluice consent add",
		},
		{[]string{"7000112"}, fault.Permission, "the application is disabled in the customer's tenant", "let the customer open entra.microsoft.com > Enterprise applications > {application_id} > Properties and set Enabled for users to sign in to Yes"},
		{[]string{"50020", "50034", "16000", "165000"}, fault.Permission, "the account that signed in does not belong to the tenant", "open the link in a private window and sign in with an administrator of the customer"},
		{[]string{"90002"}, fault.Config, "the tenant does not exist in this cloud", "check the tenant id or domain, and subscription_plan of the application"},
		{[]string{"53000", "53003", "530032", "530035"}, fault.Permission, "a conditional access policy of the customer stopped the sign-in", "let the customer look at entra.microsoft.com > Monitoring & health > Sign-in logs > the failed sign-in > Conditional Access; " + anotherLink},
		{[]string{"70008", "700084", "54005", "70000"}, fault.Gone, "the code was used already or is too old", anotherLink + " and open it in one go"},
		{[]string{"7000215", "70002"}, fault.Auth, "the client secret of the application is wrong", newSecret},
		{[]string{"7000222"}, fault.Auth, "the client secret of the application has expired", newSecret},
		{[]string{"permission_denied", "access_denied", "consent_required"}, fault.Permission, "the consent was refused", anotherLink + "; " + whoConsents},
		{[]string{"login_required", "interaction_required"}, fault.Permission, "nobody signed in", anotherLink + " and sign in as an administrator of the customer"},
		{[]string{"temporarily_unavailable", "server_error"}, fault.Unavailable, "Microsoft's sign-in service has a problem", "try again in some minutes; " + anotherLink},
		{[]string{"invalid_client", "unauthorized_client"}, fault.Config, "Microsoft does not accept the application", multiTenant},
		{[]string{"invalid_grant"}, fault.Gone, "Microsoft does not accept the code", anotherLink + " and open it in one go"},
		{[]string{"invalid_request", "invalid_resource", "invalid_scope"}, fault.Config, "Microsoft does not understand the request", "compare application_id, redirect_uri and subscription_plan with the app registration; " + anotherLink},
	}
}

var aadsts = regexp.MustCompile(`AADSTS(\d{4,8})\b`)

// explainAnswer explains the parameters error and error_description of a redirect or of a token answer.
func explainAnswer(a Application, name, description string) *Explained {
	if m := aadsts.FindStringSubmatch(description); m != nil {
		if e := explainCode(a, "AADSTS"+m[1]); e != nil {
			return e
		}
		e := byName(a, name)
		e.Code, e.Message = "AADSTS"+m[1], e.Message+"; Microsoft says: "+sentence(description)
		return e
	}
	e := byName(a, name)
	if text := sentence(description); text != "" {
		e.Message += "; Microsoft says: " + text
	}
	return e
}

// byName explains the name of an error.
func byName(a Application, name string) *Explained {
	if e := lookUp(a, strings.ToLower(name)); e != nil {
		return e
	}
	return fill(a, Explained{
		Kind: fault.Permission, Message: "Microsoft refused the consent",
		Hint: "learn.microsoft.com/entra/identity-platform/reference-error-codes explains the code; " + anotherLink,
	})
}

// explainCode explains a code such as AADSTS65004, nil when it is not known.
func explainCode(a Application, code string) *Explained {
	e := lookUp(a, strings.TrimPrefix(code, "AADSTS"))
	if e != nil {
		e.Code = code
	}
	return e
}

func lookUp(a Application, word string) *Explained {
	for _, r := range reasons() {
		if slices.Contains(r.codes, word) {
			return fill(a, Explained{Kind: r.kind, Message: r.says, Hint: r.hint})
		}
	}
	return nil
}

func fill(a Application, e Explained) *Explained {
	e.Hint = strings.ReplaceAll(e.Hint, "{application_id}", a.ApplicationID)
	e.Hint = strings.ReplaceAll(e.Hint, "sluice consent url", "sluice consent url "+a.Name)
	return &e
}

// maxSentence bounds what is quoted of a text that anybody could have written.
const maxSentence = 200

// sentence is the part of Microsoft's description that is for people: up to the ids for support, on one line, printable.
func sentence(description string) string {
	if i := strings.Index(description, "Trace ID"); i >= 0 {
		description = description[:i]
	}
	description = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, description)
	description = strings.Join(strings.Fields(description), " ")
	if runes := []rune(description); len(runes) > maxSentence {
		return string(runes[:maxSentence-1]) + "…"
	}
	return description
}
