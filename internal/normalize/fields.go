package normalize

import (
	"bytes"

	"sluice/internal/rawjson"
)

// field is a top-level member of a vendor record that normalisation uses.
type field uint8

// The fields of all sources. Their names are in fieldNames.
const (
	fNone field = iota
	// Common to the Management Activity API
	fID
	fRecordType
	fCreationTime
	fOperation
	fOrganizationID
	fUserType
	fUserKey
	fWorkload
	fResultStatus
	fObjectID
	fUserID
	fClientIP
	fClientIPAddress
	fActorIPAddress
	fActorIP
	fSenderIP
	fUserIP
	fUserAgent
	fExtendedProperties
	fAppAccessContext
	// Entra
	fErrorNumber
	fErrorCode
	fLogonError
	fLoginStatus
	fApplicationID
	fApplicationName
	fDeviceProperties
	fTarget
	fActor
	fModifiedProperties
	fRiskEventType
	fRiskLevel
	fRiskState
	// Exchange
	fResolvedName
	fSessionID
	fAppID
	fClientAppID
	fMailboxOwnerUPN
	fLogonUserSID
	fLogonUserDisplayName
	fClientInfo
	fClientProcess
	fItem
	fAffectedItems
	fFolders
	fFolder
	fDestFolder
	fRecipientList
	fSendAs
	fSendOnBehalf
	fTokenID
	// SharePoint
	fSourceFileName
	fSourceFileExtension
	fSourceRelativeURL
	fSiteURL
	fDestinationFileName
	fDestinationRelativeURL
	fFileSizeBytes
	fLabelID
	fTargetName
	fTargetType
	fUserSharedWith
	fVirusInfo
	// Teams
	fTeamName
	fTeamGUID
	fAADGroupID
	fMembers
	fAddOnName
	fAddOnGUID
	// DLP
	fPolicyDetails
	fSharePointMetaData
	fExchangeMetaData
	fEndpointMetaData
	fExceptionInfo
	// Alerts
	fName
	fSeverity
	fCategory
	fPolicyID
	fStatus
	fComments
	fData
	fAlertEntityID
	fEntityType
	// Defender for Office 365, quarantine, labels in mail
	fP1Sender
	fP2Sender
	fRecipients
	fSubject
	fInternetMessageID
	fNetworkMessageID
	fDirectionality
	fVerdict
	fThreats
	fAttachmentData
	fDeliveryAction
	fURL
	fFileData
	fInvestigationName
	fSender
	fReceivers
	fItemName
	fDeviceName
	// Message trace, where the names differ
	fSenderAddress
	fRecipientAddress
	fMessageID
	fMessageTraceID
	fFromIP
	fToIP
	fSize
	fReceived
	fOrganization
	// Defender for Cloud Apps
	fUnderID
	fUID
	fTimestamp
	fEventTypeName
	fAppNameMDA
	fUser
	fResolvedActor
	fDevice
	fMainInfo
	fDescription
	fRawData
	fTenantID
	fSeverityValue
	fTitle
	fEntities
	fIntent
	// Service health
	fLastModified
	fService
	fServices
	fClassification
	fIsResolved
	numFields
)

// fieldNames are the names of the fields in lower case. Several names for one field are spellings of different
// families or times (spec/management-activity-api.md section 13).
var fieldNames = map[string]field{
	"id": fID, "recordtype": fRecordType, "creationtime": fCreationTime, "operation": fOperation,
	"organizationid": fOrganizationID, "usertype": fUserType, "userkey": fUserKey, "workload": fWorkload,
	"resultstatus": fResultStatus, "objectid": fObjectID, "userid": fUserID, "clientip": fClientIP,
	"clientipaddress": fClientIPAddress, "actoripaddress": fActorIPAddress, "actorip": fActorIP, "senderip": fSenderIP,
	"userip": fUserIP, "useragent": fUserAgent, "extendedproperties": fExtendedProperties, "appaccesscontext": fAppAccessContext,

	"errornumber": fErrorNumber, "errorcode": fErrorCode, "logonerror": fLogonError, "loginstatus": fLoginStatus,
	"applicationid": fApplicationID, "applicationdisplayname": fApplicationName, "deviceproperties": fDeviceProperties,
	"target": fTarget, "actor": fActor, "modifiedproperties": fModifiedProperties, "riskeventtype": fRiskEventType,
	"risklevel": fRiskLevel, "riskstate": fRiskState,

	"modifiedobjectresolvedname": fResolvedName, "sessionid": fSessionID, "appid": fAppID,
	"clientappid": fClientAppID, "mailboxownerupn": fMailboxOwnerUPN, "logonusersid": fLogonUserSID,
	"logonuserdisplayname": fLogonUserDisplayName, "clientinfostring": fClientInfo, "clientprocessname": fClientProcess,
	"item": fItem, "affecteditems": fAffectedItems, "folders": fFolders, "folder": fFolder, "destfolder": fDestFolder,
	"recipientlist": fRecipientList, "sendasusersmtp": fSendAs, "sendonbehalfofusersmtp": fSendOnBehalf,
	"uniquetokenidentifier": fTokenID,

	"sourcefilename": fSourceFileName, "sourcefileextension": fSourceFileExtension, "sourcerelativeurl": fSourceRelativeURL,
	"siteurl": fSiteURL, "destinationfilename": fDestinationFileName, "destinationrelativeurl": fDestinationRelativeURL,
	"filesizebytes": fFileSizeBytes, "sensitivitylabelid": fLabelID, "labelid": fLabelID,
	"targetuserorgroupname": fTargetName, "targetuserorgrouptype": fTargetType, "usersharedwith": fUserSharedWith,
	"virusinfo": fVirusInfo,

	"teamname": fTeamName, "teamguid": fTeamGUID, "aadgroupid": fAADGroupID, "members": fMembers,
	"addonname": fAddOnName, "addonguid": fAddOnGUID,

	"policydetails": fPolicyDetails, "sharepointmetadata": fSharePointMetaData, "exchangemetadata": fExchangeMetaData,
	"endpointmetadata": fEndpointMetaData, "exceptioninfo": fExceptionInfo,

	"name": fName, "severity": fSeverity, "category": fCategory, "policyid": fPolicyID, "status": fStatus,
	"comments": fComments, "data": fData, "alertentityid": fAlertEntityID, "entitytype": fEntityType,

	"p1sender": fP1Sender, "p2sender": fP2Sender, "recipients": fRecipients, "subject": fSubject,
	"internetmessageid": fInternetMessageID, "networkmessageid": fNetworkMessageID, "directionality": fDirectionality,
	"verdict": fVerdict, "threatsanddetectiontech": fThreats, "attachmentdata": fAttachmentData,
	"deliveryaction": fDeliveryAction, "delivery action": fDeliveryAction, "url": fURL,
	"filedata": fFileData, "investigationname": fInvestigationName, "sender": fSender, "receivers": fReceivers,
	"itemname": fItemName, "devicename": fDeviceName,

	"senderaddress": fSenderAddress, "recipientaddress": fRecipientAddress, "messageid": fMessageID,
	"messagetraceid": fMessageTraceID, "fromip": fFromIP, "toip": fToIP, "size": fSize, "received": fReceived,
	"receiveddatetime": fReceived, "organization": fOrganization,

	"_id": fUnderID, "uid": fUID, "timestamp": fTimestamp, "eventtypename": fEventTypeName, "appname": fAppNameMDA,
	"user": fUser, "resolvedactor": fResolvedActor, "device": fDevice, "maininfo": fMainInfo,
	"description": fDescription, "rawdatajson": fRawData, "aadtenantid": fTenantID, "severityvalue": fSeverityValue,
	"title": fTitle, "entities": fEntities, "intent": fIntent,

	"lastmodifieddatetime": fLastModified, "service": fService, "services": fServices,
	"classification": fClassification, "isresolved": fIsResolved,
}

// fieldTable finds a field by its name, ignoring case, without allocating: a small open hash over length and three
// letters, built once by New.
type fieldTable struct {
	slots [1024]struct {
		name string
		f    field
	}
}

func newFieldTable() *fieldTable {
	t := new(fieldTable)
	for name, f := range fieldNames {
		i := fieldHash([]byte(name))
		for t.slots[i].name != "" {
			i = (i + 1) % uint(len(t.slots))
		}
		t.slots[i].name, t.slots[i].f = name, f
	}
	return t
}

// fieldHash reads a key of at least one byte. Setting bit 5 makes upper and lower case equal.
func fieldHash(key []byte) uint {
	n := len(key)
	h := uint(n)*7919 + uint(key[0]|0x20)*31 + uint(key[n-1]|0x20)*1031 + uint(key[n/2]|0x20)*257
	return h % 1024
}

func (t *fieldTable) find(key []byte) field {
	if len(key) == 0 {
		return fNone
	}
	for i := fieldHash(key); t.slots[i].name != ""; i = (i + 1) % uint(len(t.slots)) {
		if foldEqual(key, t.slots[i].name) {
			return t.slots[i].f
		}
	}
	return fNone
}

// collect remembers the members that are used. Null is absent. Of members whose names differ in case only, one in the
// usual spelling, which begins with a capital letter, is preferred; of equal ones the last counts.
func (w *work) collect(members []rawjson.Member) {
	for _, m := range members {
		if m.Kind == rawjson.Null {
			continue
		}
		key := m.Key
		f := w.n.fields.find(key)
		if f == fNone {
			if bytes.IndexByte(key, '\\') < 0 {
				continue
			}
			key, _ = rawjson.AppendUnquoted(nil, key)
			if f = w.n.fields.find(key); f == fNone {
				continue
			}
		}
		have := &w.vals[f]
		if have.Kind != rawjson.Invalid && isLower(m.Key[0]) && !isLower(have.Key[0]) {
			continue
		}
		*have = m
	}
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// text is the value of a field as text, "" for objects, arrays and absent fields.
func (w *work) text(f field) string {
	m := w.vals[f]
	if m.Kind != rawjson.String {
		return plainText(m)
	}
	w.buf, _ = rawjson.AppendUnquoted(w.buf[:0], m.Value)
	return w.lasting(w.buf)
}

// firstText is the first text that is not empty.
func (w *work) firstText(fields ...field) string {
	for _, f := range fields {
		if s := w.text(f); s != "" {
			return s
		}
	}
	return ""
}

// set copies a field to a column.
func (w *work) set(c ColumnID, f field) {
	if w.vals[f].Kind != rawjson.Invalid {
		w.row.SetText(c, w.text(f))
	}
}

// maxNested is how deep normalisation looks into a record: objects in arrays in objects.
const maxNested = 6

// object returns the members of a value that is an object, or a string that holds one. The slice is reused by the next
// call with the same level: a caller that looks deeper uses the next level.
func (w *work) object(m rawjson.Member, level int) []rawjson.Member {
	value, kind := w.embedded(m)
	if kind != rawjson.Object {
		return nil
	}
	members, err := rawjson.Members(w.members[level][:0], value)
	w.members[level] = members
	if err != nil {
		return nil
	}
	return members
}

// array returns the elements of a value that is an array, or a string that holds one. The rule of object about levels
// holds here too.
func (w *work) array(m rawjson.Member, level int) [][]byte {
	value, kind := w.embedded(m)
	if kind != rawjson.Array {
		return nil
	}
	elements, err := rawjson.Elements(w.elements[level][:0], value)
	w.elements[level] = elements
	if err != nil {
		return nil
	}
	return elements
}

// embedded resolves JSON inside a string, which Microsoft uses in many places.
func (w *work) embedded(m rawjson.Member) ([]byte, rawjson.Kind) {
	if m.Kind != rawjson.String || len(m.Value) < 4 || m.Value[1] != '{' && m.Value[1] != '[' {
		return m.Value, m.Kind
	}
	text, _ := rawjson.AppendUnquoted(nil, m.Value)
	if !rawjson.Valid(text) {
		return nil, rawjson.Invalid
	}
	return text, rawjson.KindOf(text)
}

func element(value []byte) rawjson.Member {
	return rawjson.Member{Value: value, Kind: rawjson.KindOf(value)}
}

// member finds a member by its name in lower case.
func member(members []rawjson.Member, name string) rawjson.Member {
	for _, m := range members {
		if foldEqual(m.Key, name) && m.Kind != rawjson.Null {
			return m
		}
	}
	return rawjson.Member{}
}

// memberText is the text of a member, "" when absent.
func memberText(members []rawjson.Member, name string) string {
	return plainText(member(members, name))
}

// property finds the value of a name in an array of {Name, Value} objects (spec/record-schema.md section 5.6). With
// modified properties, valueName is "newvalue" or "oldvalue".
func (w *work) property(f field, name, valueName string, level int) string {
	for _, e := range w.array(w.vals[f], level) {
		pair := w.object(element(e), level)
		if key := member(pair, "name"); key.Kind == rawjson.String && len(key.Value) == len(name)+2 &&
			foldEqual(key.Value[1:len(key.Value)-1], name) {
			return memberText(pair, valueName)
		}
	}
	return ""
}
