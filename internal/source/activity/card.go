package activity

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/m365"
	"sluice/internal/source"
)

// The API whose permissions an application needs (spec/entra-auth.md section 4).
const (
	apiName = "Office 365 Management APIs"
	apiID   = "c5393580-f805-4401-95e8-94b7a6ef2fc2"
)

// card describes the type for people. Facts: spec/management-activity-api.md sections 1 to 3, spec/entra-auth.md sections 2
// and 4, spec/record-schema.md section 1.
func card() source.Card {
	return source.Card{
		Summary:  "Everything that Microsoft 365 audits in a tenant, as the Office 365 Management Activity API serves it: sign-ins and changes in Entra ID, Exchange, SharePoint and OneDrive, Teams and the other workloads, and matches of DLP policies.",
		Category: "office_suite",
		Function: "collect",
		Capabilities: []source.Capability{
			{Name: "collect", Has: true, Note: "every five minutes by default, with hourly and twice-daily sweeps for content that appears late"},
			{Name: "back-fill", Has: true, Note: "seven days back, which is all that Microsoft serves"},
			{Name: "verify", Has: true, Note: "compares what Microsoft lists with what the lake holds"},
			{Name: "import", Has: true, Note: "exports of Purview and of Search-UnifiedAuditLog, for what is older"},
			{Name: "respond", Has: false, Note: "the connector reads only and changes nothing but its own subscriptions"},
		},
		Collects: collects(),
		Egress:   egress(),
		Licences: []string{
			"Any Microsoft 365 or Office 365 plan with auditing. The plan decides how long Microsoft itself keeps the audit log, not what this API serves.",
			"DLP.All brings records only where the tenant is licensed for data loss prevention and has policies for it.",
			"Tenants with E5 licences get about twice the request quota, 2,000 requests a minute for others.",
		},
		Permissions: []source.Permission{
			{API: apiName, APIID: apiID, Name: "ActivityFeed.Read", ID: "594c1fb6-4f81-4475-ae41-0c394909246c", Why: "all Audit content types, and their subscriptions"},
			{API: apiName, APIID: apiID, Name: "ActivityFeed.ReadDlp", ID: "4807a72c-ad38-4250-94c9-4eabfe26cd55", Optional: true, Why: "DLP.All, including the text that matched"},
		},
		Register: []string{
			"Open entra.microsoft.com > App registrations > New registration. Choose a name and Accounts in this organizational directory only, and press Register. No redirect URI is needed. (A provider who collects for customers registers once, for any organizational directory, and lets customers consent: sluice consent.)",
			"Copy Application (client) ID and Directory (tenant) ID from the Overview page: application_id and directory_id.",
			"Open Certificates & secrets > Client secrets > New client secret and copy its Value at once, not its Secret ID: api_access_key. Or upload a certificate and set certificate_file, which is the safer choice. On Azure and Kubernetes neither is needed: see the option credential.",
			"Open API permissions > Add a permission > " + apiName + " > Application permissions, tick ActivityFeed.Read and, for DLP.All, ActivityFeed.ReadDlp, and press Add permissions.",
			"Press Grant admin consent for the directory. An administrator must do that; without it tokens are issued, but hold no permission.",
			"Create the connector and run sluice test NAME, which checks each of these steps and says what is missing.",
		},
		Audit: []string{
			"Open purview.microsoft.com > Solutions > Audit. If it offers Start recording user and admin activity, press it; otherwise auditing is on.",
			"Or in Exchange Online PowerShell: Set-AdminAuditLogConfig -UnifiedAuditLogIngestionEnabled $true, and Get-AdminAuditLogConfig to look.",
			"Wait: it takes up to 60 minutes to take effect, at times two hours. The first content after a new subscription can take 12 hours.",
		},
		Naming:       "tenantname-connectortype",
		NamingSample: "contoso-office365",
		Notes: []string{
			"The name of a connector is printable ASCII, and fixed after creation as are tenant_name and type.",
			"Microsoft keeps content for seven days. A server that stands still for less misses nothing.",
			"Events appear 60 to 90 minutes after they happened, and some a day later. That is Microsoft's delay.",
			"A subscription belongs to one application and content type. Stopping it loses what becomes available until it is started again, for every program that uses the same application.",
		},
	}
}

// collects describes each content type.
func collects() []source.Collected {
	what := map[string]string{
		"Audit.AzureActiveDirectory": "sign-ins and changes of users, groups, roles and applications in Entra ID",
		"Audit.Exchange":             "Exchange: access to mailboxes and actions of administrators",
		"Audit.SharePoint":           "SharePoint and OneDrive: files, sharing, sites",
		"Audit.General":              "everything else: Teams, Power BI, Defender alerts, endpoint DLP and more",
		"DLP.All":                    "matches of data loss prevention policies in all workloads",
	}
	var list []source.Collected
	for _, ct := range contentTypes() {
		list = append(list, source.Collected{
			ContentType: ct.name, What: what[ct.name], Permission: ct.role,
			Index: "windows_events", Query: "msg_class:office365_" + strings.ReplaceAll(strings.ToLower(ct.name), ".", "_"),
		})
	}
	return list
}

// egress lists the hosts of each plan.
func egress() []source.Egress {
	var list []source.Egress
	for _, p := range m365.Plans() {
		e := source.Egress{Plan: p.Name}
		for _, h := range []struct{ address, why string }{{p.LoginURL, "sign-in"}, {p.APIURL, "listing and content"}} {
			if host, ok := webHost(h.address); ok && !slices.ContainsFunc(e.Hosts, func(o source.Host) bool { return o.Name == host.Name }) {
				host.Why = h.why
				e.Hosts = append(e.Hosts, host)
			}
		}
		list = append(list, e)
	}
	return list
}

func webHost(address string) (source.Host, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return source.Host{}, false
	}
	h := source.Host{Name: u.Hostname(), Port: 443}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		h.Port = port
	}
	return h, true
}
