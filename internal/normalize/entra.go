package normalize

import (
	"strings"

	"sluice/internal/rawjson"
)

// entraSignIn reads sign-ins: record types 15 and 9, and tokens of Outlook on the web.
func (w *work) entraSignIn() {
	row := w.row
	w.words(`["web","authentication"]`, `["info","start","access"]`)
	// The operation wins: failed sign-ins carry ResultStatus Success.
	switch {
	case strings.EqualFold(w.operation, "UserLoginFailed"):
		row.SetText(EventOutcome, "failure")
	case w.recordType == 9 && w.text(fLoginStatus) != "":
		if w.text(fLoginStatus) == "0" {
			row.SetText(EventOutcome, "success")
		} else {
			row.SetText(EventOutcome, "failure")
		}
	}
	row.SetText(LoginType, "o365_log")
	switch row.Text(EventOutcome) {
	case "success":
		row.SetText(LoginResult, "success")
	case "failure":
		row.SetText(LoginResult, "failed")
	}
	reason := w.text(fLogonError)
	if reason == "" {
		if reason = w.firstText(fErrorNumber, fErrorCode); reason == "0" {
			reason = ""
		}
	}
	row.SetText(EventReason, reason)
	w.set(AppTokenID, fTokenID)
	for _, e := range w.array(w.vals[fDeviceProperties], 0) {
		pair := w.object(element(e), 0)
		value := memberText(pair, "value")
		switch strings.ToLower(memberText(pair, "name")) {
		case "displayname":
			row.SetText(DeviceName, value)
			w.related(RelatedHosts, value)
		case "id":
			row.SetText(DeviceID, value)
		case "sessionid":
			row.SetText(AppSessionID, value)
		}
	}
	if !row.Has(AppUserAgent) {
		row.SetText(AppUserAgent, w.property(fExtendedProperties, "useragent", "value", 0))
	}
}

// Types of the identities in Actor and Target (spec/management-activity-api.md section 13.3).
const (
	identityName  = "1"
	identityOther = "2"
	identityUPN   = "5"
)

// principal is who an Actor or Target array is about.
type principal struct {
	user
	class string // User, Group, ServicePrincipal ...: a word among the identities of type 2
}

// principal reads an array of {ID, Type}.
func (w *work) principal(f field) principal {
	var p principal
	for _, e := range w.array(w.vals[f], 0) {
		m := w.object(element(e), 0)
		id := memberText(m, "id")
		switch memberText(m, "type") {
		case identityUPN:
			if u := parseUser(id); u.upn != "" {
				u.id = p.id
				p.user = u
			}
		case identityName:
			if p.name == "" {
				p.name = id
			}
		case identityOther:
			switch {
			case isGUID(id):
				p.id = id
			case isPrincipalClass(id):
				p.class = id
			}
		}
	}
	return p
}

func isPrincipalClass(s string) bool {
	return foldAny(s, "user", "group", "serviceprincipal", "application", "role", "device", "policy", "other")
}

// entraAudit reads changes of the directory: record type 8.
func (w *work) entraAudit() {
	row := w.row
	if !row.Has(UserUPN) && w.vals[fActor].Kind != rawjson.Invalid {
		if actor := w.principal(fActor); actor.upn != "" || !row.Has(UserName) {
			if actor.id == "" {
				actor.id = row.Text(UserID)
			}
			actor.kind = row.Text(UserType)
			w.replaceUser(actor.user)
		}
	}
	w.entraTarget()
	w.modified()
	row.SetText(AppUserAgent, w.additionalUserAgent())
	switch strings.TrimSuffix(strings.ToLower(w.operation), ".") {
	case "add user":
		w.words(`["web","iam"]`, `["info","user","creation"]`)
	case "update user", "change user password", "reset user password", "disable account", "enable account", "change user license":
		w.words(`["web","iam"]`, `["info","user","change"]`)
	case "delete user":
		w.words(`["web","iam"]`, `["info","user","deletion"]`)
	case "add group":
		w.words(`["web","iam"]`, `["info","group","creation"]`)
	case "delete group":
		w.words(`["web","iam"]`, `["info","group","deletion"]`)
	case "update group", "add member to group", "remove member from group", "add owner to group", "remove owner from group":
		w.words(`["web","iam"]`, `["info","group","change"]`)
	default:
		w.words(`["web","iam"]`, `["info"]`)
	}
}

// entraTarget puts the object of the action where its class belongs.
func (w *work) entraTarget() {
	target := w.principal(fTarget)
	switch strings.ToLower(target.class) {
	case "group":
		w.row.SetText(GroupName, target.name)
		w.row.SetText(GroupID, target.id)
		return
	case "role":
		w.row.SetText(RoleName, target.name)
		w.row.SetText(RoleID, target.id)
		return
	case "device":
		w.row.SetText(DeviceName, target.name)
		w.row.SetText(DeviceID, target.id)
		w.related(RelatedHosts, target.name)
		return
	case "serviceprincipal", "application":
		target.kind = "application"
	}
	if target.empty() {
		target.user = parseUser(w.text(fObjectID))
	}
	w.target(target.user)
}

// modified reads the role and group out of ModifiedProperties.
func (w *work) modified() {
	for _, e := range w.array(w.vals[fModifiedProperties], 0) {
		pair := w.object(element(e), 0)
		var column ColumnID
		switch strings.ToLower(memberText(pair, "name")) {
		case "role.displayname":
			column = RoleName
		case "role.objectid":
			column = RoleID
		case "group.displayname":
			column = GroupName
		case "group.objectid":
			column = GroupID
		default:
			continue
		}
		value := innerText(memberText(pair, "newvalue"))
		if value == "" {
			value = innerText(memberText(pair, "oldvalue"))
		}
		w.row.SetText(column, value)
	}
}

// innerText unpacks a value that is JSON inside a string: a string, or the first of an array of strings.
func innerText(s string) string {
	text := []byte(strings.TrimSpace(s))
	if len(text) == 0 || !rawjson.Valid(text) {
		return s
	}
	m := element(text)
	if m.Kind == rawjson.Array {
		elements, err := rawjson.Elements(nil, text)
		if err != nil || len(elements) == 0 {
			return ""
		}
		m = element(elements[0])
	}
	switch m.Kind {
	case rawjson.Null:
		return ""
	case rawjson.String:
		return plainText(m)
	default:
		return s
	}
}

// additionalUserAgent finds the user agent in additionalDetails, which holds JSON in a string.
func (w *work) additionalUserAgent() string {
	details := w.property(fExtendedProperties, "additionaldetails", "value", 0)
	if !strings.Contains(details, "ser-Agent") && !strings.Contains(details, "serAgent") {
		return ""
	}
	quoted := rawjson.AppendQuoted(nil, details, 0)
	members := w.object(element(quoted), 1)
	if agent := memberText(members, "user-agent"); agent != "" {
		return agent
	}
	return memberText(members, "useragent")
}

// entraRisk reads risk detections: record type 294.
func (w *work) entraRisk() {
	w.severity(w.text(fRiskLevel))
	w.set(ThreatName, fRiskEventType)
	w.set(EventReason, fRiskState)
	w.words(`["web","authentication"]`, `["info"]`)
}
