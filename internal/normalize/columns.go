package normalize

// The core columns, by position in Columns. Columns of one object of record/1 stand together: AppendRecord opens each
// object once.
const (
	Timestamp ColumnID = iota
	ReceiveTime
	TenantName
	OrganizationID
	MsgClassName
	OriginSource
	OriginVendor
	OriginCategory
	ConnectorID
	ConnectorName
	ConnectorType
	ContentType
	ContentID
	ContentCreated
	VariantOf
	DuplicateOf
	TimeSource
	Message
	EventID
	EventAction
	EventCode
	EventProvider
	EventCategory
	EventType
	EventKind
	EventOutcome
	EventReason
	EventSeverity
	EventSeverityStr
	SrcIP
	SrcPort
	SrcIPUsername
	SrcIPUserSID
	SrcIPHost
	SrcIPType
	DstIP
	DstPort
	UserID
	UserName
	UserEmail
	UserDomain
	UserUPN
	UserType
	UserIsExternal
	UserTarget
	LoginType
	LoginResult
	AppID
	AppName
	AppSessionID
	AppTokenID
	AppUserAgent
	FileName
	FilePath
	FileDirectory
	FileExtension
	FileSize
	FileOwner
	FileSHA256
	FileURL
	FileLabel
	FileDstPath
	EmailFrom
	EmailTo
	EmailCC
	EmailBCC
	EmailSubject
	EmailMessageID
	EmailNetworkMessageID
	EmailDirection
	EmailStatus
	EmailSize
	EmailAttachments
	URL
	GroupName
	GroupID
	RoleName
	RoleID
	DeviceName
	DeviceID
	ThreatName
	ThreatVerdict
	ThreatTechnique
	ThreatTactic
	RuleID
	RuleName
	RuleRuleset
	OCSFClassUID
	OCSFActivityID
	OCSFTypeUID
	OCSFRuleNumber
	RelatedIP
	RelatedUser
	RelatedHash
	RelatedHosts
	numColumns
)

// Columns are the core columns of the lake and their names in record/1 (spec/record-schema.md section 3), without those
// that the lake itself adds: _id, _unit, _batch, _seq and write_time.
var Columns = []Column{
	Timestamp:             {"timestamp", Time, "Time of the event. See ingest.time_source when the record does not say."},
	ReceiveTime:           {"receive_time", Time, "When Sluice fetched the record."},
	TenantName:            {"tenant_name", Text, "The operator's name of the tenant, from the connector."},
	OrganizationID:        {"organization.id", Text, "Microsoft's id of the tenant, lower case."},
	MsgClassName:          {"msg_class", Text, "Source and content type in one word: office365_audit_general."},
	OriginSource:          {"msg_origin.source", Text, "Product that the record comes from."},
	OriginVendor:          {"msg_origin.vendor", Text, "Vendor of the product."},
	OriginCategory:        {"msg_origin.category", Text, "Category of the product: office_suite, saas."},
	ConnectorID:           {"connector.id", Text, "Id of the connector that collected the record."},
	ConnectorName:         {"connector.name", Text, "Name of the connector that collected the record."},
	ConnectorType:         {"connector.type", Text, "Type of the connector: office365."},
	ContentType:           {"content.type", Text, "Feed that delivered the record: Audit.General, DLP.All."},
	ContentID:             {"content.id", Text, "Microsoft's id of the content unit, or the file of an import."},
	ContentCreated:        {"content.created", Time, "When the content became available at Microsoft."},
	VariantOf:             {"ingest.variant_of", Text, "_id of the record whose identity this one shares with other content."},
	DuplicateOf:           {"ingest.duplicate_of", Text, "_id of the audit record that this one is a copy of."},
	TimeSource:            {"ingest.time_source", Text, "What timestamp was taken from when the record has no usable time: content or receive."},
	Message:               {"message", Text, "Text for people, where the record brings one."},
	EventID:               {"event.id", Text, "Microsoft's id of the event."},
	EventAction:           {"event.action", Text, "What was done: Operation."},
	EventCode:             {"event.code", Text, "Name of the record type; its number where Microsoft has published no name."},
	EventProvider:         {"event.provider", Text, "Service in which it happened: Workload."},
	EventCategory:         {"event.category", JSON, "Categories, in words of the Elastic Common Schema."},
	EventType:             {"event.type", JSON, "Types, in words of the Elastic Common Schema."},
	EventKind:             {"event.kind", Text, "event or alert."},
	EventOutcome:          {"event.outcome", Text, "success, failure or unknown."},
	EventReason:           {"event.reason", Text, "Why it ended as it did: error, delivery action, status."},
	EventSeverity:         {"event.severity", Long, "0 unknown, 10 informational, 25 low, 50 medium, 75 high, 95 critical."},
	EventSeverityStr:      {"event.severity_str", Text, "Severity as a word."},
	SrcIP:                 {"srcip", Text, "Address of the client."},
	SrcPort:               {"srcport", Long, "Port of the client."},
	SrcIPUsername:         {"srcip_username", Text, "Who did it: the user's principal name, or the name."},
	SrcIPUserSID:          {"srcip_usersid", Text, "Who did it: the user's id in the directory."},
	SrcIPHost:             {"srcip_host", Text, "Name of the client."},
	SrcIPType:             {"srcip_type", Text, "private, public, multicast or unknown."},
	DstIP:                 {"dstip", Text, "Address of the other side."},
	DstPort:               {"dstport", Long, "Port of the other side."},
	UserID:                {"user.id", Text, "Id of the acting user in the directory."},
	UserName:              {"user.name", Text, "Name of the acting user: the part before the @, or the display name."},
	UserEmail:             {"user.email", Text, "E-mail address of the acting user, lower case."},
	UserDomain:            {"user.domain", Text, "Domain of the acting user, lower case."},
	UserUPN:               {"user.upn", Text, "Principal name of the acting user, lower case."},
	UserType:              {"user.type", Text, "regular, reserved, admin, dc_admin, system, application, service_principal, custom_policy, system_policy, partner_technician or guest."},
	UserIsExternal:        {"user.is_external", JSON, "true for guests and other outsiders."},
	UserTarget:            {"user_target", JSON, "The user, or users, that the action was about; members as in user."},
	LoginType:             {"login_type", Text, "o365_log for sign-ins."},
	LoginResult:           {"login_result", Text, "success or failed, for sign-ins."},
	AppID:                 {"app.id", Text, "Id of the client application."},
	AppName:               {"app.name", Text, "Name of the client application."},
	AppSessionID:          {"app.session_id", Text, "Id of the session."},
	AppTokenID:            {"app.token_id", Text, "Id of the token that was used."},
	AppUserAgent:          {"app.user_agent", Text, "User agent of the client."},
	FileName:              {"file.name", Text, "Name of the file."},
	FilePath:              {"file.path", Text, "Path of the file with its name."},
	FileDirectory:         {"file.directory", Text, "Folder of the file or message."},
	FileExtension:         {"file.extension", Text, "Extension of the file."},
	FileSize:              {"file.size", Long, "Size of the file in bytes."},
	FileOwner:             {"file.owner", Text, "Owner of the file."},
	FileSHA256:            {"file.hash.sha256", Text, "SHA-256 of the file."},
	FileURL:               {"file.url", Text, "Address of the file."},
	FileLabel:             {"file.label", Text, "Sensitivity label."},
	FileDstPath:           {"file.dst_path", Text, "Where the file was moved or copied to."},
	EmailFrom:             {"email.from.address", Text, "Sender."},
	EmailTo:               {"email.to.address", JSON, "Recipients."},
	EmailCC:               {"email.cc", JSON, "Recipients of copies."},
	EmailBCC:              {"email.bcc", JSON, "Recipients of blind copies."},
	EmailSubject:          {"email.subject", Text, "Subject."},
	EmailMessageID:        {"email.message_id", Text, "Message-ID of the mail's header."},
	EmailNetworkMessageID: {"email.network_message_id", Text, "Microsoft's id of the mail in its network."},
	EmailDirection:        {"email.direction", Text, "inbound, outbound or internal."},
	EmailStatus:           {"email.status", Text, "Delivery status."},
	EmailSize:             {"email.size", Long, "Size of the mail in bytes."},
	EmailAttachments:      {"email.attachments", JSON, "Names of the attachments."},
	URL:                   {"url", Text, "Address that was opened or clicked."},
	GroupName:             {"group.name", Text, "Name of the group or team."},
	GroupID:               {"group.id", Text, "Id of the group or team."},
	RoleName:              {"role.name", Text, "Name of the role."},
	RoleID:                {"role.id", Text, "Id of the role."},
	DeviceName:            {"device.name", Text, "Name of the device."},
	DeviceID:              {"device.id", Text, "Id of the device."},
	ThreatName:            {"threat.name", Text, "Name of the alert or malware."},
	ThreatVerdict:         {"threat.verdict", Text, "What the detection decided."},
	ThreatTechnique:       {"threat.technique", JSON, "ATT&CK techniques: T1087.002."},
	ThreatTactic:          {"threat.tactic", JSON, "ATT&CK tactics: TA0007."},
	RuleID:                {"rule.id", JSON, "Ids of the rules or policies that fired."},
	RuleName:              {"rule.name", JSON, "Names of the rules that fired."},
	RuleRuleset:           {"rule.ruleset", JSON, "Policies that the rules belong to."},
	OCSFClassUID:          {"ocsf.class_uid", Long, "Class of the Open Cybersecurity Schema Framework."},
	OCSFActivityID:        {"ocsf.activity_id", Long, "Activity within the class."},
	OCSFTypeUID:           {"ocsf.type_uid", Long, "Class and activity in one number."},
	OCSFRuleNumber:        {"ocsf.rule", Long, "Number of the rule that chose the class."},
	RelatedIP:             {"related.ip", JSON, "All addresses of the record."},
	RelatedUser:           {"related.user", JSON, "All users of the record."},
	RelatedHash:           {"related.hash", JSON, "All hashes of the record."},
	RelatedHosts:          {"related.hosts", JSON, "All hosts of the record."},
}

// lakeFields are fields of record/1 that the lake adds.
var lakeFields = []Column{
	{"_id", Text, "Identity of the record, unique in the lake."},
	{"_index", Text, "Table of the lake: windows_events, syslog or alerts."},
	{"schema", Text, "Version of the record format: record/1."},
	{"write_time", Time, "When the record was stored."},
	{"_seq", Long, "Order of the record in the lake."},
	{"_unit", Text, "Id of the content unit that brought the record."},
	{"_batch", Long, "Number of the journal message that brought the record."},
}

// ColumnByName finds a core column by its dotted name.
func ColumnByName(name string) (ColumnID, bool) {
	for i := range Columns {
		if Columns[i].Name == name {
			return ColumnID(i), true
		}
	}
	return 0, false
}

// FieldHelp explains a field of record/1 in a sentence, "" when there is no such field.
func FieldHelp(name string) string {
	if c, ok := ColumnByName(name); ok {
		return Columns[c].Help
	}
	for _, c := range lakeFields {
		if c.Name == name {
			return c.Help
		}
	}
	return ""
}
