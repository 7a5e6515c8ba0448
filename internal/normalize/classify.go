package normalize

import (
	"strconv"
	"strings"

	"sluice/internal/rawjson"
	"sluice/internal/record"
)

// The connector types, which are also the keys of the vendor object in record/1 (spec/record-schema.md section 1).
const (
	Office365     = "office365"
	MessageTrace  = "office365_reportingwebservice"
	CloudApps     = "microsoft_defender_for_cloud_apps"
	ServiceHealth = "office365_servicehealth"
)

// The content types of the Management Activity API.
const (
	AuditAzureAD    = "Audit.AzureActiveDirectory"
	AuditExchange   = "Audit.Exchange"
	AuditSharePoint = "Audit.SharePoint"
	AuditGeneral    = "Audit.General"
	DLPAll          = "DLP.All"
)

// MsgOrigin is msg_origin of record/1: the product that a record comes from.
type MsgOrigin struct {
	Source   string `json:"source"`
	Vendor   string `json:"vendor"`
	Category string `json:"category"`
}

// MsgClass is msg_class of record/1 (spec/record-schema.md section 1). It is never empty.
func MsgClass(connectorType, contentType string) string {
	switch connectorType {
	case Office365:
		switch contentType { // no allocation for the five that exist
		case AuditGeneral:
			return "office365_audit_general"
		case AuditExchange:
			return "office365_audit_exchange"
		case AuditSharePoint:
			return "office365_audit_sharepoint"
		case AuditAzureAD:
			return "office365_audit_azureactivedirectory"
		case DLPAll:
			return "office365_dlp_all"
		}
		return "office365_" + strings.Map(wordRune, strings.ToLower(contentType))
	case MessageTrace:
		return "office365_reportingwebservice_message_trace"
	case CloudApps:
		if strings.Contains(strings.ToLower(contentType), "alert") {
			return "microsoft_defender_for_cloud_apps_alerts"
		}
		return "microsoft_defender_for_cloud_apps_activities"
	case ServiceHealth:
		if strings.Contains(strings.ToLower(contentType), "message") {
			return "office365_servicehealth_message"
		}
		return "office365_servicehealth_issue"
	}
	return strings.Map(wordRune, strings.ToLower(connectorType+"_"+contentType))
}

func wordRune(r rune) rune {
	if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
		return r
	}
	return '_'
}

// Origin is msg_origin of record/1 (spec/record-schema.md section 1). The content type makes no difference today.
func Origin(connectorType, _ string) MsgOrigin {
	switch connectorType {
	case Office365:
		return MsgOrigin{"office365", "office365", "office_suite"}
	case MessageTrace:
		return MsgOrigin{"office365_reportingwebservice", "microsoft", "saas"}
	case CloudApps:
		return MsgOrigin{"microsoft_defender", "microsoft_defender_for_cloud_apps", "saas"}
	case ServiceHealth:
		return MsgOrigin{"office365_servicehealth", "microsoft", "saas"}
	}
	return MsgOrigin{connectorType, "microsoft", "saas"}
}

// VendorKey is the key of record/1 under which the Microsoft record stands: "office365".
func VendorKey(connectorType string) string { return connectorType }

// IndexFor is the table of the lake that records go to. Raw alerts of Defender for Cloud Apps are the exception: each
// change of an alert is a record, and the alert itself is in record.Alerts.
func IndexFor(connectorType, contentType string) record.Index {
	if connectorType == CloudApps && strings.Contains(strings.ToLower(contentType), "alert") {
		return record.Syslog
	}
	return record.WindowsEvents
}

// InferContentType tells to which feed of the Management Activity API a record belongs that came without one, as all
// records of an export do. The Workload decides, except for the record types of data loss prevention; what names no
// workload with a feed of its own, or none at all, is general (spec/management-activity-api.md section 2.2).
func InferContentType(members []rawjson.Member) string {
	var workload, recordType string
	for _, m := range members {
		switch len(m.Key) {
		case len("Workload"):
			if foldEqual(m.Key, "workload") {
				workload = plainText(m)
			}
		case len("RecordType"):
			if foldEqual(m.Key, "recordtype") {
				recordType = plainText(m)
			}
		}
	}
	number, err := strconv.Atoi(recordType)
	if err == nil && isDLP(number) {
		return DLPAll
	}
	switch {
	case strings.EqualFold(workload, "AzureActiveDirectory"):
		return AuditAzureAD
	case strings.EqualFold(workload, "Exchange"):
		return AuditExchange
	case strings.EqualFold(workload, "SharePoint"), strings.EqualFold(workload, "OneDrive"):
		return AuditSharePoint
	}
	return AuditGeneral
}

// isDLP tells the record types of data loss prevention (spec/record-schema.md section 6).
func isDLP(recordType int) bool {
	switch recordType {
	case 11, 13, 33, 63, 99, 100, 107:
		return true
	}
	return false
}

// foldEqual compares a key with a word in lower case, ignoring the case of ASCII letters.
func foldEqual(key []byte, lower string) bool {
	if len(key) != len(lower) {
		return false
	}
	for i, c := range key {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// plainText is the value of a member as text: a string's value, the spelling of a number or boolean, and nothing for
// the rest.
func plainText(m rawjson.Member) string {
	switch m.Kind {
	case rawjson.String:
		s, _ := rawjson.Unquote(m.Value)
		return s
	case rawjson.Number, rawjson.Bool:
		return string(m.Value)
	default:
		return ""
	}
}
