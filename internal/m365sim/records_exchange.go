package m365sim

// Exchange: cmdlets (RecordType 1), items (2), groups of items (3) and aggregated access (50).
// Shapes: spec/management-activity-api.md section 13.2.
var exchangeMenu = newMenu(
	menuItem{38, mailItemsAccessed},
	menuItem{10, func(w *writer) { mailItem(w, "Send") }},
	menuItem{8, func(w *writer) { mailItem(w, "Create") }},
	menuItem{6, func(w *writer) { mailItem(w, "Update") }},
	menuItem{8, func(w *writer) { mailGroup(w, "SoftDelete") }},
	menuItem{5, func(w *writer) { mailGroup(w, "HardDelete") }},
	menuItem{5, func(w *writer) { mailGroup(w, "MoveToDeletedItems") }},
	menuItem{5, func(w *writer) {
		cmdlet(w, "Set-Mailbox", "ProhibitSendQuota", "99 GB (106,300,440,576 bytes)", "RecoverableItemsQuota",
			"30 GB (32,212,254,720 bytes)", "HiddenFromAddressListsEnabled", "True")
	}},
	menuItem{4, func(w *writer) { cmdlet(w, "Set-User", "SyncMailboxLocationGuids", "True", "ErrorAction", "Stop") }},
	menuItem{3, func(w *writer) {
		cmdlet(w, "New-InboxRule", "AlwaysDeleteOutlookRulesBlob", "False", "Force", "False", "Name", "..",
			"SubjectOrBodyContainsWords", "invoice;payment", "DeleteMessage", "True", "StopProcessingRules", "True")
	}},
	menuItem{2, func(w *writer) {
		cmdlet(w, "Add-MailboxPermission", "AccessRights", "FullAccess", "InheritanceType", "All")
	}},
	menuItem{2, func(w *writer) {
		cmdlet(w, "Set-MailboxAutoReplyConfiguration", "AutoReplyState", "Enabled", "ExternalAudience", "All")
	}},
	menuItem{1, func(w *writer) {
		cmdlet(w, "New-TransportRule", "Name", "External banner", "FromScope", "NotInOrganization",
			"ApplyHtmlDisclaimerText", `\u003cp\u003eThis message came from outside.\u003c\/p\u003e`)
	}},
	menuItem{1, func(w *writer) { cmdlet(w, "Set-AdminAuditLogConfig", "UnifiedAuditLogIngestionEnabled", "True") }},
)

// cmdlet writes an administration record; parameters are names and escaped values in turn.
func cmdlet(w *writer, operation string, parameters ...string) {
	object := &w.vocab.users[w.rng.below(len(w.vocab.users))]
	w.header(operation, 1, "True", w.user.puid, 2, "Exchange")
	w.clientIP("ClientIP")
	w.member("ObjectId", `EURPR04A009.PROD.OUTLOOK.COM\/Microsoft Exchange Hosted Organizations\/`+w.vocab.domain+`\/`+object.mailbox)
	w.member("UserId", w.user.upn)
	w.lit(`,"AppId":"fb78d390-0c51-40cd-8e17-fdbfab77341b","AppPoolName":"MSExchangeAdminApiNetCore","ClientAppId":"","CorrelationID":""`)
	w.lit(`,"ExternalAccess":false`)
	w.member("OrganizationName", w.vocab.domain)
	w.member("OriginatingServer", w.pick(servers))
	w.lit(`,"Parameters":[{"Name":"Identity","Value":"`)
	w.lit(`EURPR04A009.PROD.OUTLOOK.COM\/Microsoft Exchange Hosted Organizations\/`)
	w.lit(w.vocab.domain)
	w.lit(`\/`)
	w.lit(object.mailbox)
	w.lit(`"}`)
	for i := 0; i+1 < len(parameters); i += 2 {
		w.lit(`,{"Name":"`)
		w.lit(parameters[i])
		w.lit(`","Value":"`)
		w.lit(parameters[i+1])
		w.lit(`"}`)
	}
	w.lit(`,{"Name":"DomainController","Value":""},{"Name":"ResultSize","Value":"Unlimited"},{"Name":"Confirm","Value":"False"}]`)
	w.lit(`,"RequestId":"`)
	w.guid()
	w.lit(`"`)
	w.guidMember("SessionId")
	w.guidMember("TokenObjectId")
	w.member("TokenTenantId", w.vocab.tenant)
}

// mailbox writes the members that all records about a mailbox share.
func (w *writer) mailbox(operation string, recordType int, client string) {
	w.header(operation, recordType, "Succeeded", w.user.puid, 0, "Exchange")
	if recordType != 50 {
		w.clientIP("ClientIP")
	}
	w.member("UserId", w.user.upn)
	w.lit(`,"AppId":"00000002-0000-0ff1-ce00-000000000000"`)
	w.member("ClientAppId", applications[w.rng.below(len(applications))].id)
	w.member("ClientIPAddress", w.ip)
	w.member("ClientInfoString", client)
	w.guidMember("ClientRequestId")
	w.lit(`,"ExternalAccess":false,"InternalLogonType":0,"LogonType":0`)
	w.member("LogonUserSid", w.user.sid)
	w.member("MailboxGuid", w.user.mailbox)
	w.member("MailboxOwnerSid", w.user.sid)
	w.member("MailboxOwnerUPN", w.user.upn)
	w.member("OrganizationName", w.vocab.domain)
	w.member("OriginatingServer", w.pick(servers))
	w.guidMember("SessionId")
	w.guidMember("TokenObjectId")
	w.member("TokenTenantId", w.vocab.tenant)
	w.accessContext()
}

// folderID writes an Exchange identifier: base64 that begins alike for all folders of a mailbox.
func (w *writer) folderID() {
	w.lit("LgAAAADBwCLOTkcSTpPvPqAu44P4AQBY")
	w.hex(28)
	w.lit("AAAB")
}

func (w *writer) messageID() {
	w.lit(`\u003cVI1PR04MB5056`)
	w.hex(32)
	w.lit(`@VI1PR04MB5056.eurprd04.prod.outlook.com\u003e`)
}

func mailItemsAccessed(w *writer) {
	w.mailbox("MailItemsAccessed", 50, "Client=REST;Client=RESTSystem;;")
	w.lit(`,"OperationProperties":[{"Name":"MailAccessType","Value":"Bind"},{"Name":"IsThrottled","Value":"False"}],"Folders":[`)
	count := 0
	for i := range 1 + w.rng.below(3) {
		if i > 0 {
			w.lit(",")
		}
		w.lit(`{"FolderItems":[`)
		for j := range 1 + w.rng.below(4) {
			if j > 0 {
				w.lit(",")
			}
			w.lit(`{"ClientRequestId":"`)
			w.guid()
			w.lit(`","Id":"RgAAAAD`)
			w.hex(24)
			w.lit(`","InternetMessageId":"`)
			w.messageID()
			w.lit(`"`)
			w.numMember("SizeInBytes", 2_000+w.rng.below(300_000))
			w.lit("}")
			count++
		}
		w.lit(`],"Id":"`)
		w.folderID()
		w.lit(`"`)
		w.member("Path", w.pick(mailFolders))
		w.lit("}")
	}
	w.lit("]")
	w.numMember("OperationCount", count)
}

func (w *writer) parentFolder(key string) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":{"Id":"`)
	w.folderID()
	w.lit(`"`)
	w.member("Path", w.pick(mailFolders))
	w.lit("}")
}

func mailItem(w *writer, operation string) {
	w.mailbox(operation, 2, "Client=OWA;Action=ViaProxy")
	w.lit(`,"Item":{"Id":"RgAAAABpp3Zb6g\/`)
	w.hex(48)
	w.lit(`AAAJ","InternetMessageId":"`)
	w.messageID()
	w.lit(`"`)
	if w.rng.below(3) == 0 {
		w.lit(`,"Attachments":"`)
		w.lit(w.pick(topics))
		w.lit(`.`)
		w.lit(w.pick(extensions))
		w.lit(` (`)
		w.num(1_000 + w.rng.below(900_000))
		w.lit(`b)"`)
	}
	w.parentFolder("ParentFolder")
	w.numMember("SizeInBytes", 3_000+w.rng.below(900_000))
	w.lit(`,"Subject":"Re: `)
	w.lit(w.pick(topics))
	w.lit(` `)
	w.num(w.rng.below(10_000))
	w.lit(`"},"SaveToSentItems":true`)
	if operation == "Update" {
		w.lit(`,"ModifiedProperties":["IsRead","AllAttachmentsHidden"]`)
	}
}

func mailGroup(w *writer, operation string) {
	w.mailbox(operation, 3, "Client=MSExchangeRPC")
	w.lit(`,"ClientProcessName":"OUTLOOK.EXE","ClientVersion":"16.0.18925.20138","AffectedItems":[`)
	for i := range 1 + w.rng.below(3) {
		if i > 0 {
			w.lit(",")
		}
		w.lit(`{"Id":"RgAAAADBwCLOTkcSTpPvPqAu44P4BwBY`)
		w.hex(40)
		w.lit(`AAAA","InternetMessageId":"`)
		w.messageID()
		w.lit(`"`)
		w.parentFolder("ParentFolder")
		w.member("Subject", w.pick(topics))
		w.lit("}")
	}
	w.lit(`],"CrossMailboxOperation":false`)
	w.parentFolder("DestFolder")
	w.parentFolder("Folder")
}
