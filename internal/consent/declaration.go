package consent

import (
	"bytes"
	"encoding/json"
	"slices"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
)

// settings are the given options in the order of their declarations, and the templates. With hide, literal secrets are
// replaced by config.KeptSecret.
func (a Application) settings(hide bool) []Setting {
	var settings []Setting
	for _, name := range a.given.Names() {
		value := a.given.Get(name)
		if ref, ok := value.(option.Ref); ok {
			value = ref.Text()
			if hide && ref.Literal() {
				value = config.KeptSecret
			}
		}
		settings = append(settings, Setting{name, value})
	}
	list := make([]json.RawMessage, 0, len(a.Templates))
	for _, t := range a.Templates {
		options := []Setting{{keyType, t.Type}}
		for _, s := range t.Options {
			if hide && t.isLiteral(s) {
				s.Value = config.KeptSecret
			}
			options = append(options, s)
		}
		list = append(list, object(options))
	}
	return append(settings, Setting{keyTemplates, list})
}

// JSON is the declaration as it is shown: Spec with literal secrets replaced by config.KeptSecret, which Put takes for the
// secret that is stored.
func (a Application) JSON() []byte { return object(a.settings(true)) }

// isLiteral reports whether s carries secret text itself.
func (t Template) isLiteral(s Setting) bool {
	text, ok := s.Value.(string)
	return ok && text != "" && slices.Contains(t.secrets, s.Name) && option.NewRef(text).Literal()
}

// literal names the first option that carries secret text itself, "" when none does.
func (t Template) literal() string {
	if i := slices.IndexFunc(t.Options, t.isLiteral); i >= 0 {
		return t.Options[i].Name
	}
	return ""
}

// secretTexts are the secrets of the application itself, by option.
func (a Application) secretTexts() []Setting {
	return []Setting{{keySecret, a.Secret.Text()}, {keyCertificatePass, a.CertificatePass.Text()}}
}

// Kept names the secrets that were given as config.KeptSecret. Such an application cannot be used before Put.
func (a Application) Kept() (names []string) {
	for _, s := range a.secretTexts() {
		if s.Value == config.KeptSecret {
			names = append(names, s.Name)
		}
	}
	return names
}

// Literals names the secrets that were written out.
func (a Application) Literals() (names []string) {
	for _, s := range a.secretTexts() {
		if text, ok := s.Value.(string); ok && text != "" && text != config.KeptSecret && option.NewRef(text).Literal() {
			names = append(names, s.Name)
		}
	}
	return names
}

// keep puts the secrets of old in the place of config.KeptSecret. A kept secret is not sent to another sign-in service:
// who may change settings need not know it.
func (a Application) keep(old Application) (Application, error) {
	kept := a.Kept()
	if len(kept) == 0 {
		return a, nil
	}
	texts := map[string]any{}
	for _, s := range old.secretTexts() {
		if slices.Contains(kept, s.Name) {
			if s.Value == "" {
				return a, nothingKept(s.Name)
			}
			texts[s.Name] = s.Value
		}
	}
	next := newApplication(a.given.With(texts), a.Templates)
	next.Pos = a.Pos
	for _, name := range next.diff(old) {
		if slices.Contains([]string{keyPlan, keyLogin, keyAudience, keyCAFile, keyCertificate}, name) {
			return a, fault.Newf(fault.Config, "", "%s is %s, which is not used with another %s", kept[0], config.KeptSecret, name).WithHint("give the secret again")
		}
	}
	return next, nil
}

// diff names the options in which two declarations differ.
func (a Application) diff(old Application) []string {
	have := map[string][]byte{}
	for _, s := range old.settings(false) {
		have[s.Name] = encoded(s.Value)
	}
	var names []string
	for _, s := range a.settings(false) {
		if text, ok := have[s.Name]; !ok || !bytes.Equal(text, encoded(s.Value)) {
			names = append(names, s.Name)
		}
		delete(have, s.Name)
	}
	for _, s := range old.settings(false) {
		if _, only := have[s.Name]; only {
			names = append(names, s.Name)
		}
	}
	return names
}

func encoded(value any) []byte {
	b, _ := json.Marshal(value) // texts, numbers, truth values, lists of texts and JSON always encode
	return b
}
