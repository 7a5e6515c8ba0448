package normalize

import (
	"strings"

	"sluice/internal/rawjson"
)

// dlp reads data loss prevention. The values that were detected are secrets and reach no column.
func (w *work) dlp() {
	row := w.row
	row.SetText(EventKind, "alert")
	w.words(`["web","file"]`, `["info","access"]`)
	blocked := w.dlpPolicies()
	exception := w.object(w.vals[fExceptionInfo], 0)
	reason := memberText(exception, "reason")
	if reason == "" {
		reason = memberText(exception, "justification")
	}
	if w.vals[fExceptionInfo].Kind == rawjson.String {
		reason = w.text(fExceptionInfo)
	}
	row.SetText(EventReason, reason)
	switch { // spec/record-schema.md section 5.3
	case strings.EqualFold(w.operation, "DlpInfo"):
		row.SetText(EventOutcome, "failure")
	case strings.EqualFold(w.operation, "DlpRuleUndo"), reason != "", len(exception) > 0:
		row.SetText(EventOutcome, "success")
	case blocked:
		row.SetText(EventOutcome, "failure")
	default:
		row.SetText(EventOutcome, "success")
	}
	w.dlpFile()
	w.dlpMail()
	if endpoint := w.object(w.vals[fEndpointMetaData], 0); endpoint != nil {
		row.SetText(DeviceName, memberText(endpoint, "devicename"))
		w.related(RelatedHosts, memberText(endpoint, "devicename"))
		row.SetText(FileExtension, memberText(endpoint, "fileextension"))
		if object := w.text(fObjectID); object != "" {
			w.filePath(object)
		}
		w.sha256(memberText(endpoint, "sha256"))
	}
}

// dlpPolicies reads the policies and rules that fired, and whether one of them blocked.
func (w *work) dlpPolicies() (blocked bool) {
	var policies, ruleIDs, ruleNames, kinds []string
	highest := -1
	words := [...]string{"low", "medium", "high"}
	for _, e := range w.array(w.vals[fPolicyDetails], 0) {
		policy := w.object(element(e), 0)
		policies = append(policies, memberText(policy, "policyname"))
		for _, e := range w.array(member(policy, "rules"), 1) {
			rule := w.object(element(e), 1)
			ruleIDs = append(ruleIDs, memberText(rule, "ruleid"))
			ruleNames = append(ruleNames, memberText(rule, "rulename"))
			severity := memberText(rule, "severity")
			for i, word := range words {
				if i > highest && strings.EqualFold(severity, word) {
					highest = i
				}
			}
			for _, action := range w.texts(member(rule, "actions"), 2) {
				blocked = blocked || strings.EqualFold(action, "BlockAccess")
			}
			kinds = append(kinds, w.sensitiveTypes(rule)...)
		}
	}
	w.setList(RuleRuleset, policies...)
	w.setList(RuleID, ruleIDs...)
	w.setList(RuleName, ruleNames...)
	if highest >= 0 {
		w.severity(words[highest]) //nolint:gosec // highest is an index of words
	}
	if len(kinds) > 0 {
		w.row.SetText(ThreatVerdict, kinds[0])
	}
	return blocked
}

// sensitiveTypes are the names of the kinds of sensitive information that a rule matched.
func (w *work) sensitiveTypes(rule []rawjson.Member) (names []string) {
	conditions := w.object(member(rule, "conditionsmatched"), 2)
	for _, e := range w.array(member(conditions, "sensitiveinformation"), 2) {
		if name := memberText(w.object(element(e), 3), "sensitiveinformationtypename"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// dlpFile reads SharePointMetaData.
func (w *work) dlpFile() {
	file := w.object(w.vals[fSharePointMetaData], 0)
	if file == nil {
		return
	}
	row := w.row
	w.fileName(memberText(file, "filename"))
	if address := memberText(file, "filepathurl"); address != "" {
		row.SetText(URL, address)
		row.SetText(FileURL, address)
		row.SetText(FilePath, address)
	}
	w.size(FileSize, memberText(file, "filesize"))
	owner := memberText(file, "fileowner")
	row.SetText(FileOwner, owner)
	if !row.Has(UserUPN) {
		w.replaceUser(parseUser(memberText(file, "from")))
	}
}

// dlpMail reads ExchangeMetaData.
func (w *work) dlpMail() {
	mail := w.object(w.vals[fExchangeMetaData], 0)
	if mail == nil {
		return
	}
	row := w.row
	w.words(`["web","email"]`, `["info","access"]`)
	row.SetText(EmailFrom, strings.ToLower(memberText(mail, "from")))
	to := w.texts(member(mail, "to"), 1)
	w.setList(EmailTo, to...)
	w.setList(EmailCC, w.texts(member(mail, "cc"), 1)...)
	w.setList(EmailBCC, w.texts(member(mail, "bcc"), 1)...)
	row.SetText(EmailSubject, memberText(mail, "subject"))
	row.SetText(EmailMessageID, memberText(mail, "messageid"))
	row.SetText(Message, memberText(mail, "subject"))
	if !row.Has(UserUPN) {
		w.replaceUser(parseUser(memberText(mail, "from")))
	}
	for _, s := range to {
		w.target(parseUser(s))
	}
}

// sha256 sets the hash of the file.
func (w *work) sha256(hash string) {
	hash = strings.ToLower(hash)
	w.row.SetText(FileSHA256, hash)
	w.related(RelatedHash, hash)
}
