package normalize

import (
	"strconv"
	"strings"

	"sluice/internal/rawjson"
)

// audit normalises a record of the Management Activity API: first what all families share, then the family, which
// the OCSF rule names (spec/record-schema.md section 6).
func (w *work) audit() {
	w.auditCommon()
	w.rule = w.n.ocsf.audit(w.recordType, w.operation)
	if w.rule == nil {
		return
	}
	switch w.rule.Family {
	case "entra_signin", "exchange_owa":
		w.entraSignIn()
	case "entra_audit", "entra_policy":
		w.entraAudit()
	case "entra_risk":
		w.entraRisk()
	case "exchange_admin":
		w.exchangeAdmin()
	case "exchange_mailbox":
		w.exchangeMailbox()
	case "sharepoint_file", "sharepoint_sharing", "sharepoint_list", "sharepoint_admin":
		w.sharePoint()
	case "teams", "teams_admin":
		w.teams()
	case "dlp":
		w.dlp()
	case "scc_alert":
		w.complianceAlert()
	case "other_alert":
		w.otherAlert()
	case "threat_intel":
		w.threatIntel()
	case "quarantine":
		w.set(EmailNetworkMessageID, fNetworkMessageID)
		w.words(`["web","email"]`, `["info"]`)
	case "mip_label":
		w.label()
	}
}

// auditCommon fills what all audit records have.
func (w *work) auditCommon() {
	row := w.row
	if s := w.text(fOrganizationID); s != "" {
		row.SetText(OrganizationID, strings.ToLower(s))
	}
	w.time(fCreationTime)
	row.SetText(EventID, w.text(fID))
	operation := w.text(fOperation)
	row.SetText(EventAction, operation)
	w.operation = strings.TrimSpace(operation)
	if s := w.text(fRecordType); s != "" {
		row.SetText(EventCode, s)
		if number, err := strconv.Atoi(s); err == nil {
			w.recordType = number
			if t, ok := w.n.types[number]; ok {
				row.SetText(EventCode, t)
			}
		}
	}
	row.SetText(EventProvider, w.text(fWorkload))
	row.SetText(EventOutcome, outcomeOf(w.text(fResultStatus)))
	w.client(w.text(fClientIPAddress), w.text(fClientIP), w.text(fActorIPAddress), w.text(fActorIP), w.text(fSenderIP), w.text(fUserIP))
	w.actor()
	row.SetText(AppUserAgent, w.text(fUserAgent))
	w.set(AppID, fApplicationID)
	w.set(AppName, fApplicationName)
	w.appAccess()
}

// actor fills user.* from UserId, UserKey and UserType.
func (w *work) actor() {
	u := parseUser(w.text(fUserID))
	if w.vals[fUserType].Kind != rawjson.Invalid && u.kind == "" {
		if t, err := strconv.Atoi(w.text(fUserType)); err == nil && t >= 0 && t < len(userTypes) {
			u.kind = userTypes[t]
			u.external = u.external || t == 10
		}
	}
	key := idOfKey(w.text(fUserKey))
	if u.id == "" {
		u.id = key
	}
	w.setUser(u)
	if key == "" {
		key = u.id
	}
	w.row.SetText(SrcIPUserSID, key)
}

// appAccess reads AppAccessContext, which newer records of all families have.
func (w *work) appAccess() {
	if w.vals[fAppAccessContext].Kind == rawjson.Invalid {
		return
	}
	for _, m := range w.object(w.vals[fAppAccessContext], 0) {
		switch {
		case foldEqual(m.Key, "aadsessionid"):
			w.row.SetText(AppSessionID, plainText(m))
		case foldEqual(m.Key, "clientappid"):
			w.row.SetText(AppID, plainText(m))
		case foldEqual(m.Key, "clientappname"):
			w.row.SetText(AppName, plainText(m))
		case foldEqual(m.Key, "uniquetokenid"):
			w.row.SetText(AppTokenID, plainText(m))
		}
	}
}

// label reads sensitivity labels in mail and files.
func (w *work) label() {
	w.set(FileLabel, fLabelID)
	w.set(EmailFrom, fSender)
	w.setList(EmailTo, w.texts(w.vals[fReceivers], 0)...)
	object := w.text(fObjectID)
	w.row.SetText(FileName, w.text(fItemName))
	if strings.ContainsAny(object, `/\`) {
		w.filePath(object)
	}
	w.set(DeviceName, fDeviceName)
	w.words(`["web","file"]`, `["info","change"]`)
}

// filePath fills file.* from a path or URL.
func (w *work) filePath(path string) {
	w.row.SetText(FilePath, path)
	if strings.Contains(path, "://") {
		w.row.SetText(FileURL, path)
	}
	if i := strings.LastIndexAny(path, `/\`); i >= 0 {
		w.row.SetText(FileDirectory, path[:i])
		path = path[i+1:]
	}
	if w.row.Has(FileName) {
		path = w.row.Text(FileName)
	}
	w.fileName(path)
}

// fileName fills the name and, unless the record has it, the extension.
func (w *work) fileName(name string) {
	w.row.SetText(FileName, name)
	if i := strings.LastIndexByte(name, '.'); i > 0 && !w.row.Has(FileExtension) {
		w.row.SetText(FileExtension, name[i+1:])
	}
}
