package normalize

import (
	"strings"

	"sluice/internal/rawjson"
)

// complianceAlert reads alerts of the compliance and Defender portals: record type 40. The merging of an alert's
// records is not done here (spec/record-schema.md section 7).
func (w *work) complianceAlert() {
	row := w.row
	row.SetText(EventKind, "alert")
	w.severity(w.text(fSeverity))
	name := strings.Trim(w.text(fName), " \t\r\n\u200b\u200c\u200d\ufeff")
	row.SetText(ThreatName, name)
	w.setList(RuleName, name)
	w.setList(RuleID, w.text(fPolicyID))
	w.setList(RuleRuleset, w.text(fEntityType))
	w.set(EventReason, fStatus)
	category := w.text(fCategory)
	switch {
	case foldAny(category, "datagovernance", "datalossprevention"):
		w.words(`["web","file"]`, `["info"]`)
	case foldAny(category, "threatmanagement"):
		w.words(`["web","malware"]`, `["info"]`)
	default:
		w.words(`["web","authentication"]`, `["info"]`)
	}
	w.alertEntity(w.text(fEntityType), w.text(fAlertEntityID))
	data := w.object(w.vals[fData], 0)
	message := memberText(data, "ad")
	if message == "" {
		message = w.text(fComments)
	}
	row.SetText(Message, message)
	if !row.Has(SrcIP) {
		w.client(memberText(data, "sip"))
	}
	for _, s := range w.texts(member(data, "f3u"), 1) {
		w.target(parseUser(s))
	}
	w.target(parseUser(memberText(data, "suid")))
	w.alertMail(data)
}

// alertMail reads the members of Data that alerts about mail have.
func (w *work) alertMail(data []rawjson.Member) {
	w.row.SetText(EmailMessageID, memberText(data, "imsgid"))
	w.row.SetText(EmailSubject, memberText(data, "ms"))
	if !w.row.Has(EmailFrom) {
		w.row.SetText(EmailFrom, strings.ToLower(memberText(data, "tsd")))
	}
	if !w.row.Has(EmailTo) {
		w.setList(EmailTo, w.texts(member(data, "trc"), 1)...)
	}
}

// alertEntity puts the entity of an AlertEntityGenerated record where its type belongs. Unknown types are kept in the
// vendor object.
func (w *work) alertEntity(kind, id string) {
	if id == "" {
		return
	}
	switch strings.ToLower(kind) {
	case "user":
		w.target(parseUser(id))
	case "recipients":
		w.setList(EmailTo, id)
		w.target(parseUser(id))
	case "sender":
		w.row.SetText(EmailFrom, strings.ToLower(id))
	case "malwarefamily":
		w.row.SetText(ThreatName, id)
	case "maliciousurl":
		w.row.SetText(URL, id)
	}
}

// otherAlert reads alerts of other products that come as audit records.
func (w *work) otherAlert() {
	w.row.SetText(EventKind, "alert")
	w.severity(w.text(fSeverity))
	if name := w.firstText(fName, fTitle); name != "" {
		w.row.SetText(ThreatName, name)
		w.setList(RuleName, name)
	}
	w.words(`["web","threat"]`, `["info","indicator"]`)
}

// threatIntel reads Defender for Office 365: mail (28), clicks (41), files (47), investigations (64) and others.
func (w *work) threatIntel() {
	row := w.row
	w.words(`["web","email","threat"]`, `["info","indicator"]`)
	switch w.recordType {
	case 41:
		w.words(`["web","threat"]`, `["info","access"]`)
	case 47:
		w.words(`["web","file","threat"]`, `["info","indicator"]`)
	case 64:
		row.SetText(EventKind, "alert")
		w.investigation()
	}
	row.SetText(EmailFrom, strings.ToLower(w.firstText(fP2Sender, fP1Sender, fSender)))
	w.setList(EmailTo, w.texts(w.vals[fRecipients], 0)...)
	w.set(EmailSubject, fSubject)
	w.set(EmailMessageID, fInternetMessageID)
	w.set(EmailNetworkMessageID, fNetworkMessageID)
	row.SetText(EmailDirection, strings.ToLower(w.text(fDirectionality)))
	w.set(ThreatVerdict, fVerdict)
	if threats := w.texts(w.vals[fThreats], 0); len(threats) > 0 {
		row.SetText(ThreatName, strings.TrimSpace(strings.Trim(threats[0], "[]\"")))
	}
	w.set(EventReason, fDeliveryAction)
	if address := w.text(fURL); address != "" {
		row.SetText(URL, address)
	}
	w.attachments()
	if file := w.object(w.vals[fFileData], 0); file != nil {
		if path := memberText(file, "filepath"); path != "" {
			w.filePath(path)
		}
		w.fileName(memberText(file, "filename"))
		w.size(FileSize, memberText(file, "filesize"))
		row.SetText(ThreatName, memberText(file, "malwarefamily"))
		w.sha256(memberText(file, "sha256"))
	}
}

// attachments reads AttachmentData; the first one that is malware names the threat.
func (w *work) attachments() {
	var names []string
	for _, e := range w.array(w.vals[fAttachmentData], 0) {
		file := w.object(element(e), 0)
		names = append(names, memberText(file, "filename"))
		hash := strings.ToLower(memberText(file, "sha256"))
		if !w.row.Has(FileSHA256) {
			w.row.SetText(FileSHA256, hash)
		}
		w.related(RelatedHash, hash)
		if family := memberText(file, "malwarefamily"); family != "" {
			w.row.SetText(ThreatName, family)
		}
	}
	w.setList(EmailAttachments, names...)
}

// investigation reads automated investigations: record type 64. Their Data is the alert that began them.
func (w *work) investigation() {
	w.set(ThreatName, fInvestigationName)
	w.set(Message, fInvestigationName)
	w.set(EventReason, fStatus)
	data := w.object(w.vals[fData], 0)
	w.severity(memberText(data, "severity"))
	if name := memberText(data, "alertdisplayname"); name != "" {
		w.row.SetText(ThreatName, name)
		w.setList(RuleName, name)
	}
}
