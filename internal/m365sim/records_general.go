package m365sim

// Everything else: Teams (RecordType 25), alerts (40), cmdlets of the compliance centre (18), Power BI (20), Copilot
// (261), mail verdicts (28). Shapes: spec/management-activity-api.md sections 13.5 to 13.8.
var generalMenu = newMenu(
	menuItem{26, func(w *writer) { teams(w, "MessageSent") }},
	menuItem{14, func(w *writer) { teams(w, "TeamsSessionStarted") }},
	menuItem{6, func(w *writer) { teams(w, "MemberAdded") }},
	menuItem{4, func(w *writer) { teams(w, "ChannelAdded") }},
	menuItem{12, powerBI},
	menuItem{10, copilot},
	menuItem{10, complianceCmdlet},
	menuItem{8, mailVerdict},
	menuItem{2, alertTriggered},
	menuItem{6, alertEntity},
)

// templateAlert is the position of alertTriggered in generalMenu.
const templateAlert = 8

// teams writes a record with the key order of that workload, in which RecordType comes late.
func teams(w *writer, operation string) {
	which := w.skewed(len(w.vocab.groups))
	team := w.vocab.groups[which]
	w.lit("{")
	w.created()
	w.id()
	w.operation(operation)
	w.member("OrganizationId", w.vocab.tenant)
	w.recordType(25)
	w.member("UserKey", w.user.object)
	w.lit(`,"UserType":0,"Version":1,"Workload":"MicrosoftTeams"`)
	w.clientIP()
	w.member("UserId", w.user.upn)
	w.lastingMember("AADGroupId", w.lasting(aTeam, which))
	w.accessContext()
	w.lit(`,"ChannelGuid":"19:`)
	w.seededHex(w.lasting(aChannel, which), 32)
	w.lit(`@thread.tacv2","ChannelName":"General","ChannelType":"Standard","CommunicationType":"Team"`)
	w.lit(`,"ExtraProperties":[{"Key":"TimeZone","Value":"Europe\/Berlin"},{"Key":"OsName","Value":"windows"},{"Key":"Country","Value":"`)
	w.lit(w.pick(countries))
	w.lit(`"}]`)
	w.member("ItemName", team)
	switch operation {
	case "MessageSent":
		w.lit(`,"MessageId":"`)
		w.num(int(w.at))
		w.lit(`123","MessageVersion":"1","Messages":[],"MessageSizeInBytes":`)
		w.num(20 + w.rng.below(5_000))
		w.lit(`,"MessageURLs":["https:\/\/`)
		w.lit(w.vocab.label)
		w.lit(`.sharepoint.com\/sites\/`)
		w.hex(12)
		w.lit(`"],"ParticipantInfo":{"HasForeignTenantUsers":false,"HasGuestUsers":false,"HasOtherGuestUsers":false,"HasUnauthenticatedUsers":false,"ParticipatingTenantIds":["`)
		w.lit(w.vocab.tenant)
		w.lit(`"]},"ResourceTenantId":"`)
		w.lit(w.vocab.tenant)
		w.lit(`"`)
	case "MemberAdded":
		w.members()
	}
	w.lit(`,"TeamGuid":"19:`)
	w.seededHex(w.lasting(aTeam, which), 32)
	w.lit(`@thread.tacv2"`)
	w.member("TeamName", team)
}

func (w *writer) members() {
	w.lit(`,"Members":[`)
	for i := range 1 + w.rng.below(5) {
		if i > 0 {
			w.lit(",")
		}
		p := &w.vocab.users[w.rng.below(len(w.vocab.users))]
		w.lit(`{"DisplayName":"`)
		w.lit(p.name)
		w.lit(`","Role":`)
		w.num(i % 3)
		w.lit(`,"UPN":"`)
		w.lit(p.upn)
		w.lit(`"}`)
	}
	w.lit("]")
}

func powerBI(w *writer) {
	which := w.rng.below(len(topics))
	report := topics[which]
	w.lit(`{`)
	w.opening("ViewReport")
	w.recordType(20)
	w.lit(`,"UserType":0`)
	w.member("UserKey", w.user.puid)
	w.lit(`,"Workload":"PowerBI"`)
	w.member("UserId", w.user.upn)
	w.clientIP()
	w.member("UserAgent", w.agent())
	w.lit(`,"Activity":"ViewReport"`)
	w.member("ItemName", report)
	w.member("WorkSpaceName", w.vocab.groups[which])
	w.member("DatasetName", report)
	w.member("ReportName", report)
	for i, key := range []string{"CapacityId", "WorkspaceId", "ObjectId", "DatasetId", "ReportId"} {
		w.lastingMember(key, w.lasting(aReport, which, i))
	}
	w.lit(`,"ArtifactKind":"Report","IsSuccess":true,"ReportType":"PowerBIReport"`)
	w.guidMember("RequestId")
	w.guidMember("ActivityId")
	w.lit(`,"DistributionMethod":"Workspace","ConsumptionMethod":"Power BI Web","AppReportId":"","RefreshEnforcementPolicy":0`)
	w.accessContext()
}

// opening writes the members that identify a record, without a brace or a leading comma.
func (w *writer) opening(operation string) {
	w.created()
	w.id()
	w.operation(operation)
	w.member("OrganizationId", w.vocab.tenant)
}

func copilot(w *writer) {
	w.header("CopilotInteraction", 261, "", w.user.object, 0, "Copilot")
	w.clientIP()
	w.member("UserId", w.user.upn)
	w.lit(`,"ClientRegion":"de","CopilotLogVersion":"1.0.0.0","CopilotEventData":{"AISystemPlugin":[{"Id":"BingWebSearch","Name":"BuiltIn","Version":""}],"AccessedResources":[`)
	for i := range w.rng.below(4) {
		if i > 0 {
			w.lit(",")
		}
		s := &w.vocab.sites[w.rng.below(len(w.vocab.sites))]
		w.lit(`{"Action":"Read","Id":"`)
		w.guid()
		w.lit(`","Name":"`)
		w.lit(w.pick(topics))
		w.lit(`.docx","SensitivityLabelId":"","SiteUrl":"`)
		w.lit(s.url)
		w.lit(`Shared Documents\/`)
		w.lit(s.title)
		w.lit(`.docx","Type":"docx"}`)
	}
	w.lit(`],"AppHost":"Teams","Contexts":[{"Id":"https:\/\/teams.microsoft.com\/l\/chat\/`)
	w.hex(32)
	w.lit(`","Type":"TeamsChat"}],"MessageIds":[],"Messages":[{"Id":"`)
	w.num(int(w.at))
	w.lit(`000","Size":`)
	w.num(w.rng.below(4_000))
	w.lit(`,"isPrompt":true},{"Id":"`)
	w.num(int(w.at) + 1)
	w.lit(`000","Size":0,"isPrompt":false}],"ModelTransparencyDetails":[{"ModelName":"DEEP_LEO","ModelProviderName":"","ModelVersion":""}],"ThreadId":"19:`)
	w.hex(32)
	w.lit(`@thread.v2"}`)
	w.accessContext()
}

func complianceCmdlet(w *writer) {
	operation := w.pick([]string{"Get-ComplianceSearch", "Get-DlpCompliancePolicy", "New-ComplianceSearch", "Get-RetentionCompliancePolicy"})
	w.header(operation, 18, "Success", w.user.upn, 2, "SecurityComplianceCenter")
	w.lit(`,"ObjectId":""`)
	w.member("UserId", w.user.upn)
	w.clientIP()
	w.lit(`,"SecurityComplianceCenterEventType":0,"ClientApplication":"EMC"`)
	w.guidMember("ClientRequestId")
	w.lit(`,"CmdletVersion":"..."`)
	w.member("EffectiveOrganization", w.vocab.domain)
	w.lit(`,"NonPIIParameters":"-Identity -ResultSize -ErrorAction","Parameters":"-Identity \"`)
	w.lit(w.pick(topics))
	w.lit(`\" -ResultSize \"Unlimited\" -ErrorAction \"Stop\""`)
	w.timeMember("StartTime", 0)
	w.lit(`,"UserServicePlan":""`)
}

func mailVerdict(w *writer) {
	w.header("TIMailData", 28, "", "ThreatIntel", 4, "ThreatIntelligence")
	w.guidMember("ObjectId")
	w.lit(`,"UserId":"ThreatIntel","AdditionalActionsAndResults":["OriginalDelivery: [N\/A]"],"AttachmentData":[{"FileName":"`)
	w.lit(w.pick(topics))
	w.lit(`.zip","FileType":"zip","FileVerdict":1,"MalwareFamily":"Trojan_ZIP_Generic","SHA256":"`)
	w.hex(64)
	w.lit(`"}],"AuthDetails":[{"Name":"SPF","Value":"Fail"},{"Name":"DKIM","Value":"None"},{"Name":"DMARC","Value":"Fail"},{"Name":"Comp Auth","Value":"fail"}]`)
	w.lit(`,"DeliveryAction":"Blocked","DetectionMethod":"File detonation","DetectionType":"Inline","Directionality":"Inbound","EventDeepLink":"https:\/\/security.microsoft.com\/?hash=\/threatexplorer?messageParams=`)
	w.hex(48)
	w.lit(`","InternetMessageId":"`)
	w.messageID(w.rng.next())
	w.lit(`","LatestDeliveryLocation":"Quarantine"`)
	w.timeMember("MessageTime", -30)
	w.guidMember("NetworkMessageId")
	w.lit(`,"OriginalDeliveryLocation":"Quarantine","P1Sender":"billing@supplier.example","P2Sender":"billing@supplier.example","PhishConfidenceLevel":"High","Policy":4,"PolicyAction":5,"Recipients":["`)
	w.lit(w.user.upn)
	w.lit(`"],"SenderIp":"`)
	w.lit(w.ip)
	w.lit(`","Subject":"Invoice `)
	w.num(w.rng.below(100_000))
	w.lit(`","SystemOverrides":[],"ThreatsAndDetectionTech":["Phish: [File detonation]"],"Verdict":"Phish"`)
}

// alert policies: name, category, severity, operation.
var alertPolicies = [...][4]string{
	{`Creation of forwarding\/redirect rule`, "ThreatManagement", "Informational", "MailRedirect"},
	{"Elevation of Exchange admin privilege", "AccessGovernance", "Low", "GrantAdminPermission"},
	{"Messages have been delayed", "MailFlow", "High", "MailFlowDelay"},
	{"Unusual volume of file deletion", "DataGovernance", "Medium", "FileDeleted"},
	{"Email reported by user as malware or phish", "ThreatManagement", "Low", "UserSubmission"},
	{"DLP policy match for document", "DataLossPrevention", "Medium", "DlpRuleMatch"},
}

// alertSeed is where the ids of the alert triggered by a record come from.
func (w *writer) alertSeed(blob, index int) uint64 {
	return mix(w.seed, uint64(blob), uint64(index), 40)
}

// alertTriggered writes the one trigger record of an alert.
func alertTriggered(w *writer) {
	seed := w.alertSeed(w.blob, w.index)
	w.alert("AlertTriggered", seed, func() { w.seededGUID(seed) }, func(policy [4]string) {
		w.lit(`{\"f3u\":\"`)
		w.lit(w.user.upn)
		w.alertTimes()
		w.lit(`\",\"op\":\"`)
		w.lit(policy[3])
		w.lit(`\",\"wl\":\"Exchange\",\"tid\":\"`)
		w.lit(w.vocab.tenant)
		w.lit(`\",\"tdc\":\"1\",\"reid\":\"`)
		w.guid()
		w.lit(`\",\"rid\":\"`)
		w.guid()
		w.lit(`\",\"ad\":\"This alert is triggered when `)
		w.lit(policy[3])
		w.lit(` is seen -V1.0.0.5\",\"lon\":\"`)
		w.lit(policy[3])
		w.lit(`\",\"an\":\"`)
		w.lit(policy[0])
		w.lit(`\",\"sev\":\"`)
		w.lit(policy[2])
		w.lit(`\"}`)
	})
}

// alertEntity writes an entity of an alert: of a trigger in the same blob, which may come before or after it, or else
// of an alert whose trigger is not in this feed's blob (it is in another one, or outside the subscription).
func alertEntity(w *writer) {
	seed := w.alertSeed(w.blob, w.nearestTrigger())
	w.alert("AlertEntityGenerated", seed, func() { w.lit(w.user.upn) }, func(policy [4]string) {
		w.lit(`{\"etype\":\"User\",\"eid\":\"`)
		w.lit(w.user.upn)
		w.lit(`\",\"tid\":\"`)
		w.lit(w.vocab.tenant)
		w.alertTimes()
		w.lit(`\",\"op\":\"`)
		w.lit(policy[3])
		w.lit(`\",\"tdc\":\"1\",\"suid\":\"`)
		w.lit(w.user.upn)
		w.lit(`\",\"ut\":\"Admin\",\"lon\":\"`)
		w.lit(policy[3])
		w.lit(`\"}`)
	})
	w.member("AlertEntityId", w.user.upn)
	w.lit(`,"EntityType":"User"`)
}

// nearestTrigger looks for an AlertTriggered record around the current one; without one it returns the own index.
func (w *writer) nearestTrigger() int {
	for d := 1; d < w.size && d < 64; d++ {
		for _, i := range [2]int{w.index + d, w.index - d} {
			if i >= 0 && i < w.size && w.templateOf(w.blob, i) == templateAlert {
				return i
			}
		}
	}
	return w.index
}

// alertTimes writes the start and end of the activity inside the JSON text of Data.
func (w *writer) alertTimes() {
	for _, key := range [2]string{"ts", "te"} {
		w.lit(`\",\"`)
		w.lit(key)
		w.lit(`\":\"`)
		at := w.at - 120
		if key == "te" {
			at = w.at - 60
		}
		w.seconds(at)
		w.lit(`.0000000Z`)
	}
}

// alert writes the members that trigger and entity records share; all records of one alert share seed and so AlertId,
// policy and name.
func (w *writer) alert(operation string, seed uint64, object func(), data func([4]string)) {
	policy := alertPolicies[seed%uint64(len(alertPolicies))]
	w.header(operation, 40, "Succeeded", "SecurityComplianceAlerts", 4, "SecurityComplianceCenter")
	w.lit(`,"ObjectId":"`)
	object()
	w.lit(`","UserId":"SecurityComplianceAlerts","AlertId":"`)
	w.seededGUID(seed)
	w.lit(`","AlertLinks":[{"AlertLinkHref":""}],"AlertType":"System"`)
	w.member("Category", policy[1])
	w.lit(`,"Comments":"New alert","Data":"`)
	data(policy)
	w.lit(`"`)
	w.member("Name", policy[0])
	w.lit(`,"PolicyId":"`)
	w.seededGUID(seed % uint64(len(alertPolicies)))
	w.lit(`"`)
	w.member("Severity", policy[2])
	w.lit(`,"Source":"Office 365 Security \u0026 Compliance","Status":"Active"`)
}
