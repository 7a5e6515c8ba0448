package normalize

import (
	"strings"

	"sluice/internal/rawjson"
)

// exchangeAdmin reads cmdlets: record types 1, 10, 18, 87 and 106.
func (w *work) exchangeAdmin() {
	w.set(AppSessionID, fSessionID)
	if id := w.firstText(fClientAppID, fAppID); id != "" {
		w.row.SetText(AppID, id)
	}
	if isRecipientCmdlet(w.operation) {
		name := w.firstText(fResolvedName, fObjectID)
		w.target(parseUser(name[strings.LastIndexByte(name, '/')+1:]))
	}
}

// isRecipientCmdlet tells cmdlets whose object is a user or mailbox; the object of others is a thing.
func isRecipientCmdlet(cmdlet string) bool {
	_, noun, _ := strings.Cut(cmdlet, "-")
	for _, word := range [...]string{"Mailbox", "User", "Recipient", "Member", "InboxRule", "Permission"} {
		if strings.Contains(noun, word) {
			return true
		}
	}
	return false
}

// exchangeMailbox reads what happens to mail: record types 2, 3, 50, 19 and 101.
func (w *work) exchangeMailbox() {
	row := w.row
	w.words(`["web","email"]`, `["info"]`)
	w.set(AppSessionID, fSessionID)
	w.set(AppName, fClientProcess)
	if id := w.firstText(fClientAppID, fAppID); id != "" {
		row.SetText(AppID, id)
	}
	if !row.Has(AppUserAgent) {
		w.set(AppUserAgent, fClientInfo)
	}
	w.set(SrcIPUserSID, fLogonUserSID)
	if !row.Has(UserName) {
		w.set(UserName, fLogonUserDisplayName)
	}
	w.target(parseUser(w.text(fMailboxOwnerUPN)))
	w.set(FileDirectory, fFolder)
	if m := w.vals[fFolder]; m.Kind == rawjson.Object {
		row.SetText(FileDirectory, memberText(w.object(m, 0), "path"))
	}
	if m := w.vals[fDestFolder]; m.Kind == rawjson.Object {
		row.SetText(FileDstPath, memberText(w.object(m, 0), "path"))
	}
	w.mailItem()
	w.mailRecipients()
}

// mailItem describes the item, or the first of several.
func (w *work) mailItem() {
	if m := w.vals[fItem]; m.Kind == rawjson.Object {
		w.exchangeItem(m, 0)
		return
	}
	if items := w.array(w.vals[fAffectedItems], 0); len(items) > 0 {
		w.exchangeItem(element(items[0]), 0)
		return
	}
	if folders := w.array(w.vals[fFolders], 0); len(folders) > 0 {
		members := w.object(element(folders[0]), 0)
		w.row.SetText(FileDirectory, memberText(members, "path"))
		if items := w.array(member(members, "folderitems"), 1); len(items) > 0 {
			w.exchangeItem(element(items[0]), 1)
		}
	}
}

// exchangeItem reads an ExchangeItem (spec/management-activity-api.md section 13.2).
func (w *work) exchangeItem(m rawjson.Member, level int) {
	row := w.row
	members := w.object(m, level)
	row.SetText(EmailSubject, memberText(members, "subject"))
	row.SetText(EmailMessageID, memberText(members, "internetmessageid"))
	w.size(EmailSize, memberText(members, "sizeinbytes"))
	w.setList(EmailAttachments, attachmentNames(memberText(members, "attachments"))...)
	if parent := member(members, "parentfolder"); parent.Kind == rawjson.Object {
		row.SetText(FileDirectory, memberText(w.object(parent, level+1), "path"))
	}
}

// attachmentNames takes the names out of "name (123b); name (45b)". Names may hold parentheses and dots themselves.
func attachmentNames(s string) []string {
	var names []string
	for part := range strings.SplitSeq(s, "; ") {
		part = strings.TrimSpace(part)
		if i := strings.LastIndex(part, " ("); i > 0 && strings.HasSuffix(part, "b)") {
			part = part[:i]
		}
		if part != "" {
			names = append(names, part)
		}
	}
	return names
}

// mailRecipients fills the sender and recipients of Send, SendAs and SendOnBehalf.
func (w *work) mailRecipients() {
	var list []string
	for _, e := range w.array(w.vals[fRecipientList], 0) {
		if m := element(e); m.Kind == rawjson.Object {
			list = append(list, memberText(w.object(m, 0), "address"))
		} else {
			list = append(list, plainText(m))
		}
	}
	w.setList(EmailTo, list...)
	if !strings.HasPrefix(w.operation, "Send") {
		return
	}
	from := w.firstText(fSendAs, fSendOnBehalf)
	if from == "" {
		from = w.row.Text(UserUPN)
	}
	w.row.SetText(EmailFrom, strings.ToLower(from))
}
