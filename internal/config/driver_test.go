package config

import (
	"sluice/internal/option"
	"sluice/internal/source"
)

// office365 declares what the configuration file of a real driver has, without being one.
func office365() source.Properties {
	return source.Properties{
		Type:         "office365",
		Title:        "Office 365 Management Activity API",
		ContentTypes: []string{"Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"},
		Options: []option.Option{
			{Name: "subscription_plan", Default: "enterprise", Choices: []string{"enterprise", "gcc", "gcc_high", "dod"}, Help: "Microsoft cloud of the tenant."},
			{Name: "authentication_endpoint", Type: option.URL, Default: "https://login.microsoftonline.com", Help: "Where tokens come from."},
			{Name: "directory_id", Type: option.GUID, Required: true, Fixed: true, Help: "Directory (tenant) ID."},
			{Name: "application_id", Type: option.GUID, Required: true, Help: "Application (client) ID."},
			{Name: "credential", Choices: []string{"secret", "certificate", "workload_identity", "managed_identity"}, Help: "What the application proves itself with."},
			{Name: "api_access_key", Secret: true, Help: "Value of the client secret."},
			{Name: "certificate_file", Type: option.File, Help: "Certificate with key, PEM or PFX, instead of the secret."},
			{Name: "certificate_password", Secret: true, Help: "Password of the PFX file."},
			{Name: "managed_identity_id", Help: "Which identity of the machine."},
			{Name: "publisher_id", Type: option.GUID, Advanced: true, Help: "PublisherIdentifier."},
			{Name: "max_parallel_fetches", Type: option.Int, Default: 16, Min: 1, Max: 256, Help: "Blobs fetched at the same time, per content type."},
			{Name: "requests_per_minute", Type: option.Int, Default: 1200, Min: 0, Max: 100000, Help: "Ceiling per Microsoft tenant | 0 is none."},
			{Name: "disable_ssl_verification", Type: option.Bool, Default: false, Help: "Do not check certificates."},
			{Name: "ca_file", Type: option.File, Help: "Extra trusted CA."},
			{Name: "api_endpoint", Type: option.URL, Help: "Overrides the host of the plan."},
		},
	}
}

// cloudapps is a driver with a secret and no certificate.
func cloudapps() source.Properties {
	return source.Properties{
		Type:         "microsoft_defender_for_cloud_apps",
		Title:        "Microsoft Defender for Cloud Apps",
		ContentTypes: []string{"activities", "alerts"},
		Options: []option.Option{
			{Name: "api_endpoint", Type: option.URL, Required: true, Help: "Address of the tenant's portal."},
			{Name: "api_access_key", Required: true, Secret: true, Help: "API token."},
		},
	}
}

func drivers() []source.Properties { return []source.Properties{office365(), cloudapps()} }

func environment(name string) (string, bool) {
	v, ok := map[string]string{
		"DIRECTORY": "11111111-2222-3333-4444-555555555555",
		"BROKEN":    "contoso.onmicrosoft.com",
		"EMPTY":     "",
		"DATA":      "/var/lib/sluice",
		"DOLLAR":    "/srv/${env:DATA}",
		"MAILHOST":  "smtp.example",
	}[name]
	return v, ok
}
