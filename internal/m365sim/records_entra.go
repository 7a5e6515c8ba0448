package m365sim

// Entra: sign-ins (RecordType 15) and directory changes (8). Shapes: spec/management-activity-api.md section 13.3.
var entraMenu = newMenu(
	menuItem{58, func(w *writer) { signIn(w, "UserLoggedIn", "0", "") }},
	menuItem{8, func(w *writer) { signIn(w, "UserLoginFailed", "50126", "InvalidUserNameOrPassword") }},
	menuItem{4, func(w *writer) { signIn(w, "UserLoginFailed", "50053", "IdsLocked") }},
	menuItem{10, func(w *writer) {
		directoryChange(w, "Update user.", "User", "LastDirSyncTime", "StrongAuthenticationMethod")
	}},
	menuItem{6, func(w *writer) { directoryChange(w, "Update service principal.", "ServicePrincipal", "DisplayName") }},
	menuItem{4, func(w *writer) {
		directoryChange(w, "Add member to group.", "User", "Group.ObjectID", "Group.DisplayName")
	}},
	menuItem{3, func(w *writer) { directoryChange(w, "Change user password.", "User") }},
	menuItem{2, func(w *writer) { directoryChange(w, "Add device.", "Device", "AccountEnabled", "CloudDeviceOSType") }},
	menuItem{2, func(w *writer) {
		directoryChange(w, "Add app role assignment grant to user.", "ServicePrincipal", "AppRole.Id")
	}},
	menuItem{1, func(w *writer) {
		directoryChange(w, "Consent to application.", "ServicePrincipal", "ConsentContext.IsAdminConsent")
	}},
	menuItem{1, func(w *writer) {
		directoryChange(w, "Add member to role.", "User", "Role.ObjectID", "Role.DisplayName")
	}},
	menuItem{1, func(w *writer) { directoryChange(w, "Disable account.", "User", "AccountEnabled") }},
)

func signIn(w *writer, operation, code, logonError string) {
	app := applications[w.rng.below(len(applications))]
	resource := applications[w.rng.below(2)].id
	status := "Success"
	if logonError != "" {
		status = "Failed"
	}
	w.header(operation, 15, status, w.user.object, 0, "AzureActiveDirectory")
	w.clientIP()
	w.member("ObjectId", resource)
	w.member("UserId", w.user.upn)
	w.lit(`,"AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"ResultStatusDetail","Value":"Success"},{"Name":"UserAgent","Value":"`)
	w.lit(w.agent())
	w.lit(`"},{"Name":"UserAuthenticationMethod","Value":"1"},{"Name":"RequestType","Value":"OAuth2:Authorize"}`)
	if w.rng.below(3) == 0 {
		w.lit(`,{"Name":"KeepMeSignedIn","Value":"true"}`)
	}
	w.lit(`],"ModifiedProperties":[],"Actor":[{"ID":"`)
	w.lit(w.user.object)
	w.lit(`","Type":0},{"ID":"`)
	w.lit(w.user.upn)
	w.lit(`","Type":5}]`)
	w.member("ActorContextId", w.vocab.tenant)
	w.member("ActorIpAddress", w.ip)
	w.guidMember("InterSystemsId")
	w.guidMember("IntraSystemId")
	w.lit(`,"SupportTicketId":"","Target":[{"ID":"`)
	w.lit(resource)
	w.lit(`","Type":0}]`)
	w.member("TargetContextId", w.vocab.tenant)
	w.member("ApplicationId", app.id)
	w.deviceProperties()
	w.member("ErrorNumber", code)
	if logonError != "" {
		w.member("LogonError", logonError)
	}
}

func (w *writer) deviceProperties() {
	device := w.lasting(aDevice, w.who)
	w.lit(`,"DeviceProperties":[{"Name":"Id","Value":"`)
	w.seededGUID(device)
	w.lit(`"},{"Name":"DisplayName","Value":"`)
	w.lit(w.vocab.hosts[w.who%len(w.vocab.hosts)])
	w.lit(`"},{"Name":"OS","Value":"`)
	w.lit(systems[w.who%len(systems)])
	w.lit(`"},{"Name":"BrowserType","Value":"`)
	w.lit(browsers[w.who%len(browsers)])
	w.lit(`"},{"Name":"IsCompliant","Value":"True"},{"Name":"IsCompliantAndManaged","Value":"`)
	if device%2 == 0 {
		w.lit("True")
	} else {
		w.lit("False")
	}
	w.lit(`"},{"Name":"TrustType","Value":"1"},{"Name":"SessionId","Value":"`)
	w.seededGUID(w.session())
	w.lit(`"}]`)
}

// directoryChange writes a RecordType 8 record whose ModifiedProperties name the given properties. Values are JSON with
// line breaks inside a string, as the service writes them.
func directoryChange(w *writer, operation, target string, properties ...string) {
	object := &w.vocab.users[w.rng.below(len(w.vocab.users))]
	w.header(operation, 8, "Success", w.user.puid+"@"+w.vocab.domain, 0, "AzureActiveDirectory")
	w.member("ObjectId", object.upn)
	w.member("UserId", w.user.upn)
	w.lit(`,"AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"additionalDetails","Value":"{\"User-Agent\":\"Microsoft Azure Graph Client Library 2.1.1\"}"},{"Name":"extendedAuditEventCategory","Value":"`)
	w.lit(target)
	w.lit(`"}],"ModifiedProperties":[`)
	for _, name := range properties {
		w.lit(`{"Name":"`)
		w.lit(name)
		w.lit(`","NewValue":"[\r\n  \"`)
		w.guid()
		w.lit(`\"\r\n]","OldValue":"[]"},`)
	}
	w.lit(`{"Name":"Included Updated Properties","NewValue":"`)
	for i, name := range properties {
		if i > 0 {
			w.lit(", ")
		}
		w.lit(name)
	}
	w.lit(`","OldValue":""},{"Name":"TargetId.UserType","NewValue":"Member","OldValue":""}],"Actor":[`)
	w.identities(w.user, "User")
	w.lit(`]`)
	w.member("ActorContextId", w.vocab.tenant)
	w.member("ActorIpAddress", w.ip)
	w.guidMember("InterSystemsId")
	w.guidMember("IntraSystemId")
	w.lit(`,"SupportTicketId":"","Target":[`)
	w.identities(object, target)
	w.lit(`]`)
	w.member("TargetContextId", w.vocab.tenant)
}

// identities writes the list of identities by which directory records name one object.
func (w *writer) identities(p *person, class string) {
	w.lit(`{"ID":"`)
	w.lit(p.upn)
	w.lit(`","Type":5},{"ID":"`)
	w.lit(p.puid)
	w.lit(`","Type":3},{"ID":"`)
	w.lit(class)
	w.lit(`_`)
	w.lit(p.object)
	w.lit(`","Type":2},{"ID":"`)
	w.lit(p.object)
	w.lit(`","Type":2},{"ID":"`)
	w.lit(class)
	w.lit(`","Type":2}`)
}
