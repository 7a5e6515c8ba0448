package activity

import (
	"slices"
	"strings"
	"time"

	"sluice/internal/m365"
	"sluice/internal/option"
	"sluice/internal/source"
)

// Limits of the service (spec/management-activity-api.md section 1).
const (
	maxWindow = 24 * time.Hour
	retention = 7 * 24 * time.Hour
)

// defaultParallelFetches is how many blobs of a content type are fetched at the same time unless the operator says otherwise.
const defaultParallelFetches = 16

// contentType is one of the five feeds and the permission that it needs.
type contentType struct {
	name string
	role string
}

// contentTypes are all feeds, in display order.
func contentTypes() []contentType {
	const read, dlp = "ActivityFeed.Read", "ActivityFeed.ReadDlp"
	return []contentType{
		{"Audit.AzureActiveDirectory", read},
		{"Audit.Exchange", read},
		{"Audit.SharePoint", read},
		{"Audit.General", read},
		{"DLP.All", dlp},
	}
}

// findContentType compares names as the service does, without letter case.
func findContentType(name string) (contentType, bool) {
	all := contentTypes()
	i := slices.IndexFunc(all, func(c contentType) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		return contentType{}, false
	}
	return all[i], true
}

// Properties returns the fixed facts of the driver.
func Properties() source.Properties {
	p := source.Properties{
		Type:      "office365",
		Title:     "Office 365 audit log (Management Activity API)",
		Options:   options(),
		MaxWindow: maxWindow,
		Retention: retention,
		Card:      card(),
	}
	for _, c := range contentTypes() {
		p.ContentTypes = append(p.ContentTypes, c.name)
	}
	return p
}

func options() []option.Option {
	const worldwide = "https://login.microsoftonline.com"
	return []option.Option{
		{
			Name: "subscription_plan", Default: "enterprise", Choices: m365.PlanNames(),
			Help: "The cloud of the Microsoft 365 tenant. It decides which hosts are used; every host can be overridden.",
		},
		{
			Name: "authentication_endpoint", Type: option.URL, Default: "", Example: worldwide,
			Help: "The sign-in host. Empty: that of the plan, " + worldwide + " for enterprise and gcc, https://login.microsoftonline.us for gcc_high and dod.",
		},
		{
			Name: "directory_id", Type: option.GUID, Required: true, Fixed: true, Example: "11111111-2222-3333-4444-555555555555",
			Help: "Directory (tenant) ID, from the Overview page of the app registration. It must be the GUID, not a domain name.",
		},
		{
			Name: "application_id", Type: option.GUID, Required: true, Example: "99999999-8888-7777-6666-555555555555",
			Help: "Application (client) ID, from the Overview page of the app registration. The application needs the application permissions ActivityFeed.Read " +
				"and, for DLP.All, ActivityFeed.ReadDlp of the Office 365 Management APIs, with admin consent.",
		},
		{
			Name: "credential", Choices: credentials(), Advanced: true,
			Help: "What the application proves itself with. Default: what is given of api_access_key and certificate_file. The identities need neither: " +
				"workload_identity signs in with the token that Kubernetes gives to the pod, managed_identity with the identity that Azure gives to the machine.",
		},
		{
			Name: "api_access_key", Secret: true, Example: "${env:M365_SECRET}",
			Help: "Value of a client secret of the application (not the secret's ID). Needed unless certificate_file is given, or credential is an identity.",
		},
		{
			Name: "certificate_file", Type: option.File, Example: "/etc/sluice/contoso.pem",
			Help: "Certificate with private key to sign in with, instead of a client secret. PEM with an unencrypted key, or PFX; RSA with at least 2048 bits.",
		},
		{
			Name: "certificate_password", Secret: true,
			Help: "Password of a PFX certificate_file. Empty for PEM.",
		},
		{
			Name: "managed_identity_id", Advanced: true, Example: "22222222-3333-4444-5555-666666666666",
			Help: "Which identity of the machine is used with credential managed_identity. Empty: the user-assigned identity whose client ID is application_id. " +
				"system: the system-assigned identity. Client ID of a user-assigned identity: it proves to be application_id, which has it as a federated credential.",
		},
		{
			Name: "publisher_id", Type: option.GUID,
			Help: "Publisher identifier sent with every request. Empty: directory_id. With it the service counts your requests apart from those of all unnamed callers.",
		},
		{
			Name: "max_parallel_fetches", Type: option.Int, Default: defaultParallelFetches, Min: 1, Max: 256,
			Help: "Blobs of a content type that are fetched at the same time.",
		},
		{
			Name: "requests_per_minute", Type: option.Int, Default: m365.DefaultPerMinute, Min: 0, Max: 100_000,
			Help: "Requests a minute to begin with, for all connectors of the tenant together. From the default on it rises by itself to 2000 while the service does not throttle; 0 means no limit.",
		},
		{
			Name: "webhook", Type: option.Bool, Default: false,
			Help: "Let Microsoft tell Sluice when there is new content, which is then listed at once instead of at the next interval. Needs the server's webhook.address, or webhook_address. " +
				"It is only a hint: polling goes on, and nothing is lost when no notification arrives.",
		},
		{
			Name: "webhook_address", Type: option.URL, Advanced: true, Example: "https://collector.example/sluice",
			Help: "Public address at which Microsoft reaches webhook.listen of this server, for this connector instead of the server's webhook.address; it switches webhook on. " +
				"Sluice appends a path that cannot be guessed. Microsoft calls https with a certificate of a public authority only.",
		},
		{
			Name: "webhook_auth_id", Secret: true, Advanced: true,
			Help: "Text that Microsoft sends back with every notification (header Webhook-AuthID); what comes without it is refused. Empty: Sluice makes one that stays the same over restarts.",
		},
		{
			Name: "disable_ssl_verification", Type: option.Bool, Default: false, Advanced: true,
			Help: "Accept any server certificate. Anybody on the path can then read the credential; prefer ca_file.",
		},
		{
			Name: "ca_file", Type: option.File, Advanced: true, Example: "/etc/ssl/proxy-ca.pem",
			Help: "PEM file with certificate authorities to trust beside the system's, such as that of an inspecting proxy.",
		},
		{
			Name: "api_endpoint", Type: option.URL, Advanced: true, Example: "https://manage.office.com",
			Help: "Overrides the plan's API host (private clouds, tests). The access token is sent to this host only.",
		},
		{
			Name: "api_audience", Advanced: true, Example: "https://manage.office.com",
			Help: "Overrides the audience for which access tokens are requested. Empty: that of the plan.",
		},
	}
}
