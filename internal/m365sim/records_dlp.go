package m365sim

// Data loss prevention: documents (RecordType 11), mail (13) and endpoints (63).
// Shapes: spec/management-activity-api.md section 13.4.
var dlpMenu = newMenu(
	menuItem{50, func(w *writer) { dlpDocument(w, "DLPRuleMatch") }},
	menuItem{8, func(w *writer) { dlpDocument(w, "DLPRuleUndo") }},
	menuItem{24, dlpMail},
	menuItem{18, dlpEndpoint},
)

// sensitive types: id and name.
var sensitiveTypes = [...][2]string{
	{"50842eb7-edc8-4019-85dd-5a5c1f2bb085", "Credit Card Number"},
	{"cb353f78-2b72-4c3c-8827-92ebe4f69fdf", "ABA Routing Number"},
	{"a44669fe-0d48-453d-a9b1-2cc83f2cba77", "U.S. Social Security Number (SSN)"},
	{"e7dc4711-11b7-4cb0-b88b-2c394a771f0e", "International Banking Account Number (IBAN)"},
	{"419f449f-6d9d-4be1-a154-b531f7a91b41", "EU Passport Number"},
}

// dlpHead writes the common part in the key order of these records: identity last, no escapes of the slash.
func (w *writer) dlpHead(workload, userID string) {
	w.lit(`{"Workload":"`)
	w.lit(workload)
	w.lit(`","SensitiveInfoDetectionIsIncluded":true`)
	w.guidMember("ObjectId")
	w.member("UserId", userID)
	w.lit(`,"UserType":4,"Version":1`)
	w.guidMember("IncidentId")
	w.policyDetails()
}

func (w *writer) dlpTail(operation string, recordType int) {
	w.lit(`,"UserKey":"DlpAgent",`)
	w.opening(operation)
	w.recordType(recordType)
}

func (w *writer) policyDetails() {
	kind := sensitiveTypes[w.rng.below(len(sensitiveTypes))]
	seed := w.rng.next() % 12
	w.lit(`,"PolicyDetails":[{"PolicyId":"`)
	w.seededGUID(seed)
	w.lit(`","PolicyName":"Protect `)
	w.lit(kind[1])
	w.lit(`","Rules":[{"ActionParameters":["GenerateIncidentReport:SiteAdmin"],"Actions":["NotifyUser","GenerateIncidentReport"`)
	if seed%3 == 0 {
		w.lit(`,"BlockAccess"`)
	}
	w.lit(`],"ConditionsMatched":{"ConditionMatchedInNewScheme":true,"OtherConditions":[],"SensitiveInformation":[{"ClassifierType":"Content","Confidence":85`)
	w.numMember("Count", 1+w.rng.below(40))
	w.lit(`,"Location":"Message Body","SensitiveInformationDetailedClassificationAttributes":[{"Confidence":65,"Count":4,"IsMatch":false},{"Confidence":75,"Count":2,"IsMatch":true},{"Confidence":85,"Count":1,"IsMatch":true}]`)
	w.lit(`,"SensitiveInformationDetections":{"DetectedValues":[{"Name":"4111-0000-0000-`)
	w.num(1000 + w.rng.below(9000))
	w.lit(`","Value":"payment by card 4111-0000-0000-0000, valid thru 12\/29, please confirm the amount with `)
	w.lit(w.user.name)
	w.lit(` before Friday"}],"ResultsTruncated":false},"SensitiveInformationTypeName":"`)
	w.lit(kind[1])
	w.lit(`","SensitiveType":"`)
	w.lit(kind[0])
	w.lit(`","UniqueCount":1}]},"RuleId":"`)
	w.seededGUID(seed + 100)
	w.lit(`","RuleMode":"Enable","RuleName":"Low volume of `)
	w.lit(kind[1])
	w.lit(`","Severity":"Low"}]}]`)
}

func dlpDocument(w *writer, operation string) {
	topic := w.pick(topics)
	w.dlpHead("OneDrive", w.user.upn)
	w.lit(`,"SharePointMetaData":{"From":"`)
	w.lit(w.user.upn)
	w.lit(`","FileName":"`)
	w.lit(topic)
	w.lit(`.docx","FileOwner":"`)
	w.lit(w.user.name)
	w.lit(`","FilePathUrl":"`)
	w.lit(w.user.drive)
	w.lit(`Documents\/`)
	w.lit(topic)
	w.lit(`.docx"`)
	w.numMember("FileSize", 1_000+w.rng.below(5_000_000))
	w.timeMember("ItemCreationTime", -86_400)
	w.timeMember("ItemLastModifiedTime", -90)
	w.lit(`,"IsViewableByExternalUsers":false,"SharedBy":[null],"SiteAdmin":["i:0#.f|membership|`)
	w.lit(w.user.upn)
	w.lit(`"],"SiteCollectionGuid":"`)
	w.guid()
	w.lit(`","SiteCollectionUrl":"`)
	w.lit(w.user.drive)
	w.lit(`"`)
	w.guidMember("UniqueID")
	w.lit("}")
	w.dlpTail(operation, 11)
}

func dlpMail(w *writer) {
	to := &w.vocab.users[w.rng.below(len(w.vocab.users))]
	w.dlpHead("Exchange", w.user.upn)
	w.lit(`,"ExchangeMetaData":{"BCC":[],"CC":[],"From":"`)
	w.lit(w.user.upn)
	w.lit(`","MessageID":"`)
	w.messageID(w.message())
	w.lit(`","RecipientCount":1`)
	w.timeMember("Sent", -20)
	w.lit(`,"Subject":"`)
	w.lit(w.pick(topics))
	w.lit(`","To":["`)
	w.lit(to.upn)
	w.lit(`"]}`)
	w.dlpTail("DlpRuleMatch", 13)
}

func dlpEndpoint(w *writer) {
	w.dlpHead("Endpoint", w.user.upn)
	w.lit(`,"EndpointMetaData":{"ClientIP":"`)
	w.lit(w.ip)
	w.lit(`","DeviceName":"`)
	w.lit(w.pick(w.vocab.hosts))
	w.lit(`","EnforcementMode":1,"EndpointOperation":"FileCopiedToRemovableMedia","FileExtension":"xlsx"`)
	w.numMember("FileSize", 1_000+w.rng.below(5_000_000))
	w.lit(`,"FileType":"XLSX","Platform":1,"RMSEncrypted":false,"Sha256":"`)
	w.hex(64)
	w.lit(`","SourceLocationType":1,"DestinationLocationType":5}`)
	w.dlpTail("DLPRuleMatch", 63)
}
