package normalize

import (
	"regexp"
	"strconv"
	"strings"
)

// cloudApps reads activities and alerts of Defender for Cloud Apps.
func (w *work) cloudApps() {
	row := w.row
	w.time(fTimestamp)
	row.SetText(EventID, w.firstText(fUnderID, fUID))
	if s := w.text(fTenantID); s != "" {
		row.SetText(OrganizationID, strings.ToLower(s))
	}
	w.set(Message, fDescription)
	if strings.HasSuffix(row.Text(MsgClassName), "_alerts") {
		w.cloudAlert()
	} else {
		w.cloudActivity()
	}
}

// cloudActivity reads an activity. When it copies an audit record, that record's type and operation choose the class,
// and ingest.duplicate_of links to it.
func (w *work) cloudActivity() {
	row := w.row
	main := w.object(w.vals[fMainInfo], 0)
	code := w.text(fEventTypeName)
	row.SetText(EventCode, code)
	action := memberText(main, "prettyoperationname")
	if action == "" {
		action = code
	}
	row.SetText(EventAction, action)
	row.SetText(EventOutcome, "success")
	if result := w.object(member(main, "activityresult"), 1); result != nil {
		if s := memberText(result, "issuccess"); s != "" {
			row.SetText(EventOutcome, outcomeOf(s))
		}
	}
	if strings.Contains(code, "FAILED") {
		row.SetText(EventOutcome, "failure")
	}
	w.set(EventProvider, fAppNameMDA)
	w.severity(w.text(fSeverity))
	w.cloudActor()
	w.cloudDevice()
	for _, e := range w.array(member(w.object(w.vals[fMainInfo], 0), "eventobjects"), 1) {
		object := w.object(element(e), 1)
		if kind := memberText(object, "objtype"); kind == "21" || kind == "23" {
			u := parseUser(memberText(object, "name"))
			if u.id == "" {
				u.id = memberText(object, "id")
			}
			if u.shown() != row.Text(SrcIPUsername) {
				w.target(u)
			}
		}
	}
	w.cloudCopy(code)
}

// cloudCopy looks at the audit record inside an activity.
func (w *work) cloudCopy(code string) {
	raw := w.object(w.vals[fRawData], 0)
	recordType, operation, id := memberText(raw, "recordtype"), memberText(raw, "operation"), memberText(raw, "id")
	number, err := strconv.Atoi(recordType)
	if operation == "" || err != nil {
		w.rule = w.n.ocsf.family(familyMDAActivity, strings.TrimSpace(code))
		return
	}
	w.recordType, w.operation = number, strings.TrimSpace(operation)
	w.rule = w.n.ocsf.audit(number, w.operation)
	if id == "" {
		return
	}
	organization := memberText(raw, "organizationid")
	if organization == "" {
		organization = w.row.Text(OrganizationID)
	}
	w.row.SetText(DuplicateOf, auditID(organization, id, recordType, operation, memberText(raw, "creationtime")))
}

// auditID is the _id of the audit record with these values.
func auditID(organization, id, recordType, operation, creationTime string) string {
	var s Scratch
	s.text[fieldOrganization], s.text[fieldID] = []byte(organization), []byte(id)
	s.text[fieldType], s.text[fieldOperation], s.text[fieldTime] = []byte(recordType), []byte(operation), []byte(creationTime)
	s.office365("", nil)
	return string(s.id)
}

// cloudActor fills user.* from user and resolvedActor.
func (w *work) cloudActor() {
	actor := w.object(w.vals[fResolvedActor], 0)
	id, name := memberText(actor, "id"), memberText(actor, "name")
	u := parseUser(memberText(w.object(w.vals[fUser], 0), "username"))
	if u.empty() {
		u = parseUser(name)
	}
	if u.id == "" {
		u.id = id
	}
	w.setUser(u)
	w.row.SetText(SrcIPUserSID, u.id)
}

// cloudDevice fills the client from device and userAgent.
func (w *work) cloudDevice() {
	device := w.object(w.vals[fDevice], 0)
	w.client(memberText(device, "clientip"))
	w.row.SetText(AppUserAgent, memberText(device, "useragent"))
	agent := w.object(w.vals[fUserAgent], 0)
	w.row.SetText(AppName, memberText(agent, "browser"))
}

// mdaSeverities are the words of severityValue; 3 is the lowest (spec/defender-cloud-apps.md).
var mdaSeverities = [...]string{"low", "medium", "high", "informational"}

// mdaTactics are the ATT&CK tactics of intent (spec/record-schema.md section 7.3).
var mdaTactics = [...]string{
	"", "TA0043", "TA0001", "TA0003", "TA0004", "TA0005", "TA0006", "TA0007", "TA0008", "TA0002",
	"TA0009", "TA0010", "TA0011", "TA0040",
}

var techniquePattern = regexp.MustCompile(`\bT\d{4}(?:\.\d{3})?\b`)

// cloudAlert reads a raw alert.
func (w *work) cloudAlert() {
	row := w.row
	w.rule = w.n.ocsf.family(familyMDAAlert, "")
	row.SetText(EventKind, "alert")
	row.SetText(EventAction, "Alert")
	row.SetText(EventProvider, "Microsoft Defender for Cloud Apps")
	row.SetText(EventOutcome, "unknown")
	w.words(`["web","threat"]`, `["info","indicator"]`)
	row.SetText(ThreatName, w.text(fTitle))
	if i, err := strconv.Atoi(w.text(fSeverityValue)); err == nil && i >= 0 && i < len(mdaSeverities) {
		w.severity(mdaSeverities[i])
	}
	var tactics []string
	for _, s := range w.texts(w.vals[fIntent], 0) {
		if i, err := strconv.Atoi(s); err == nil && i > 0 && i < len(mdaTactics) {
			tactics = append(tactics, mdaTactics[i])
		}
	}
	w.setList(ThreatTactic, tactics...)
	w.setList(ThreatTechnique, techniquePattern.FindAllString(w.text(fDescription), maxListed)...)
	w.cloudEntities()
}

// cloudEntities reads the entities of an alert: the first source account is the user, others are targets.
func (w *work) cloudEntities() {
	var ruleIDs, ruleNames []string
	for _, e := range w.array(w.vals[fEntities], 0) {
		entity := w.object(element(e), 0)
		id, label := memberText(entity, "id"), memberText(entity, "label")
		switch memberText(entity, "type") {
		case "account", "user":
			u := parseUser(memberText(entity, "pa"))
			if u.empty() {
				u = parseUser(label)
			}
			if u.id == "" {
				u.id = id
			}
			if memberText(entity, "entityrole") == "Target" || w.row.Has(SrcIPUsername) {
				w.target(u)
			} else {
				w.setUser(u)
				w.row.SetText(SrcIPUserSID, u.id)
			}
		case "ip":
			if !w.row.Has(SrcIP) {
				w.client(label, id)
			}
		case "device":
			w.related(RelatedHosts, label)
			if !w.row.Has(DeviceName) {
				w.row.SetText(DeviceName, label)
				w.row.SetText(DeviceID, id)
			}
		case "policy", "policyRule":
			ruleIDs, ruleNames = append(ruleIDs, id), append(ruleNames, label)
		case "service":
			w.row.SetText(EventProvider, label)
		}
	}
	w.setList(RuleID, ruleIDs...)
	w.setList(RuleName, ruleNames...)
}
