package normalize

import "strings"

// messageTrace reads a row of the message trace, of the Reporting Web Service or of Graph.
func (w *work) messageTrace() {
	row := w.row
	w.time(fReceived)
	w.words(`["email"]`, `["info"]`)
	row.SetText(EventID, w.firstText(fMessageTraceID, fID))
	row.SetText(EventAction, "MessageTrace")
	row.SetText(EventProvider, "Exchange")
	status := w.text(fStatus)
	w.rule = w.n.ocsf.family(familyMessageTrace, strings.TrimSpace(status))
	row.SetText(EmailStatus, status)
	switch {
	case foldAny(status, "delivered", "expanded", "resolved"):
		row.SetText(EventOutcome, "success")
	case foldAny(status, "failed", "quarantined", "filteredasspam"):
		row.SetText(EventOutcome, "failure")
		row.SetText(EventReason, status)
	default:
		row.SetText(EventOutcome, "unknown")
	}
	sender, recipient := parseUser(w.text(fSenderAddress)), parseUser(w.text(fRecipientAddress))
	row.SetText(EmailFrom, strings.ToLower(w.text(fSenderAddress)))
	w.setList(EmailTo, strings.ToLower(w.text(fRecipientAddress)))
	w.related(RelatedUser, sender.upn)
	w.related(RelatedUser, recipient.upn)
	if organization := strings.ToLower(w.text(fOrganization)); organization != "" && sender.domain == organization {
		w.setUser(sender)
	}
	w.set(EmailSubject, fSubject)
	w.set(Message, fSubject)
	w.set(EmailMessageID, fMessageID)
	w.size(EmailSize, w.text(fSize))
	w.client(w.text(fFromIP))
	if a, ok := parseAddress(w.text(fToIP)); ok && a.ip.IsValid() {
		row.SetText(DstIP, a.ip.String())
		w.related(RelatedIP, a.ip.String())
		if a.port != 0 {
			row.SetLong(DstPort, a.port)
		}
	}
}

// serviceHealth reads issues and messages of the service health dashboard.
func (w *work) serviceHealth() {
	row := w.row
	w.time(fLastModified)
	row.SetText(EventID, w.text(fID))
	row.SetText(Message, w.text(fTitle))
	row.SetText(EventAction, "ServiceIssue")
	rules := w.n.ocsf.byFamily[familyServiceHealth] // issues, messages
	w.rule = rules[0]
	if strings.HasSuffix(row.Text(MsgClassName), "_message") {
		row.SetText(EventAction, "ServiceMessage")
		w.rule = rules[len(rules)-1]
	}
	w.set(EventProvider, fService)
	if services := w.texts(w.vals[fServices], 0); len(services) > 0 && !row.Has(EventProvider) {
		row.SetText(EventProvider, services[0])
	}
	category := w.firstText(fClassification, fCategory)
	if category == "" {
		category = "web"
	}
	w.setList(EventCategory, category)
	row.SetText(EventType, `["info"]`)
	w.set(EventReason, fStatus)
	row.SetText(EventOutcome, "unknown")
	if w.text(fIsResolved) == "true" {
		row.SetText(EventOutcome, "success")
	}
}
