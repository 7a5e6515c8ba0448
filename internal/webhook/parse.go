package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
)

// notification is what is read of an element of a notification. The other fields (contentUri, contentCreated,
// contentExpiration) are not used: what a notification says of the content itself is not trusted.
type notification struct {
	TenantID    string `json:"tenantId"`
	ClientID    string `json:"clientId"`
	ContentType string `json:"contentType"`
	ContentID   string `json:"contentId"`
}

// parseNotifications reads a body: an array. Fields that are not known are ignored. Elements that are not usable, because a
// name is missing or is no text, are counted and left out; an error says that the body as a whole is none.
func parseNotifications(body []byte) (list []notification, damaged int, err error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &elements); err != nil {
		return nil, 0, err
	}
	if elements == nil {
		return nil, 0, errors.New("null instead of an array")
	}
	for _, e := range elements {
		var n notification
		if json.Unmarshal(e, &n) != nil || n.TenantID == "" || n.ClientID == "" || n.ContentType == "" || n.ContentID == "" {
			damaged++
			continue
		}
		list = append(list, n)
	}
	return list, damaged, nil
}

// validCode reports whether the body of a validation request repeats the code of its header.
func validCode(code string, body []byte) bool {
	var v struct {
		ValidationCode string `json:"validationCode"`
	}
	return json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &v) == nil && code != "" && v.ValidationCode == code
}
