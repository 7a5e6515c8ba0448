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
	w.clientIP()
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
	w.lastingMember("SessionId", w.session())
	w.member("TokenObjectId", w.user.object)
	w.member("TokenTenantId", w.vocab.tenant)
}

// mailbox writes the members that all records about a mailbox share.
func (w *writer) mailbox(operation string, recordType int, client string) {
	w.header(operation, recordType, "Succeeded", w.user.puid, 0, "Exchange")
	if recordType != 50 {
		w.clientIP()
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
	w.lastingMember("SessionId", w.session())
	w.member("TokenObjectId", w.user.object)
	w.member("TokenTenantId", w.vocab.tenant)
	w.accessContext()
}

// folder writes "Id" and "Path" of a folder of the user's mailbox. Exchange identifiers are base64 that begins alike
// for everything in a mailbox.
func (w *writer) folder() {
	which := w.skewed(len(mailFolders))
	w.lit(`"Id":"LgAAAADBwCLOTkcSTpPvPqAu44P4AQBY`)
	w.seededHex(w.lasting(aFolder, w.who), 16)
	w.seededHex(w.lasting(aFolder, w.who, which), 12)
	w.lit(`AAAB"`)
	w.member("Path", mailFolders[which])
}

// message picks a message of the user's mailbox: recent ones are read again and again.
func (w *writer) message() uint64 { return w.lasting(aMessage, w.who, w.skewed(500)) }

func (w *writer) itemID(message uint64) {
	w.lit(`"Id":"RgAAAADBwCLOTkcSTpPvPqAu44P4BwBY`)
	w.seededHex(w.lasting(aFolder, w.who), 16)
	w.seededHex(message, 24)
	w.lit(`AAAA"`)
}

func (w *writer) messageID(message uint64) {
	w.lit(`\u003cVI1PR04MB5056`)
	w.seededHex(message, 32)
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
			message := w.message()
			w.lit(`{`)
			w.itemID(message)
			w.lit(`,"InternetMessageId":"`)
			w.messageID(message)
			w.lit(`"`)
			w.numMember("SizeInBytes", 2_000+int(message%300_000))
			w.lit("}")
			count++
		}
		w.lit(`],`)
		w.folder()
		w.lit("}")
	}
	w.lit("]")
	w.numMember("OperationCount", count)
}

func (w *writer) parentFolder(key string) {
	w.lit(`,"`)
	w.lit(key)
	w.lit(`":{`)
	w.folder()
	w.lit("}")
}

func mailItem(w *writer, operation string) {
	w.mailbox(operation, 2, "Client=OWA;Action=ViaProxy")
	message := w.message()
	w.lit(`,"Item":{`)
	w.itemID(message)
	w.lit(`,"InternetMessageId":"`)
	w.messageID(message)
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
		message := w.message()
		w.lit(`{`)
		w.itemID(message)
		w.lit(`,"InternetMessageId":"`)
		w.messageID(message)
		w.lit(`"`)
		w.parentFolder("ParentFolder")
		w.member("Subject", w.pick(topics))
		w.lit("}")
	}
	w.lit(`],"CrossMailboxOperation":false`)
	w.parentFolder("DestFolder")
	w.parentFolder("Folder")
}
