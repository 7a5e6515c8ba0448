package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/source"
)

// Options of drivers that mean the same wherever they are declared, and are therefore checked together here.
const (
	keyApplicationID   = "application_id"
	keyAPIAccessKey    = "api_access_key"
	keyCertificateFile = "certificate_file"
	keyCertificatePass = "certificate_password"
	keyCredential      = "credential"
	keyManagedID       = "managed_identity_id"
	keyPlan            = "subscription_plan"
	keyAuthority       = "authentication_endpoint"
	keyNoVerify        = "disable_ssl_verification"
)

// maxName is the longest name, in characters.
const maxName = 64

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// checkConnector checks what one option's declaration cannot say.
func (r *reader) checkConnector(e *entry, d source.Properties) {
	r.checkName(e, keyName)
	r.checkName(e, keyTenantName)
	r.checkCredential(e, d)
	r.checkIdentifiers(e)
	r.warnConnector(e)
}

// checkName checks a name that ends up in records, subjects and file names.
func (r *reader) checkName(e *entry, key string) {
	name, ok := e.spec[key].(string)
	if !ok {
		return
	}
	n, path := e.nodes[key], join(e.path, key)
	if err := nameError(name); err != nil {
		r.report(n, path, "%v", err)
	}
}

// CheckName checks the name of a connector or tenant: not empty, printable ASCII without blanks at its ends, at most
// 64 characters, no reference. The error is of kind fault.Config.
func CheckName(name string) error {
	err := nameError(name)
	if err == nil && (name == "" || strings.TrimSpace(name) != name) {
		err = errors.New("must not be empty nor begin or end with a blank")
	}
	if err != nil {
		return fault.New(fault.Config, "", err.Error())
	}
	return nil
}

func nameError(name string) error {
	for _, c := range name {
		if c < ' ' || c > '~' {
			return fmt.Errorf("must be printable ASCII, found %q (%U)", c, c)
		}
	}
	switch {
	case len(name) > maxName:
		return fmt.Errorf("is too long: %d characters, at most %d", len(name), maxName)
	case strings.Contains(name, "${"):
		return errors.New("must be written out: a name cannot be a reference")
	}
	return nil
}

// Values of the option credential.
const (
	credentialSecret      = "secret"
	credentialCertificate = "certificate"
	credentialWorkload    = "workload_identity"
	credentialManaged     = "managed_identity"
)

// checkCredential demands exactly one of secret and certificate from drivers that take both, or none with an identity.
func (r *reader) checkCredential(e *entry, d source.Properties) {
	_, takesKey := findOption(d.Options, keyAPIAccessKey)
	_, takesCertificate := findOption(d.Options, keyCertificateFile)
	if takesKey && takesCertificate {
		r.checkGiven(e)
	}
	if key, ok := e.spec[keyAPIAccessKey].(string); ok && option.IsGUID(key) {
		r.report(e.nodes[keyAPIAccessKey], join(e.path, keyAPIAccessKey), "looks like the ID of a secret: paste the secret's Value, which the portal shows once")
	}
}

// checkGiven compares what is given with the way of signing in, which may be said or follows from what is given.
func (r *reader) checkGiven(e *entry) {
	way, _ := e.values[keyCredential].(string)
	if option.HasReference(way) {
		return // known when the connector starts
	}
	key, certificate := e.given(keyAPIAccessKey), e.given(keyCertificateFile)
	useless := func(names ...string) {
		for _, name := range names {
			if e.given(name) {
				r.report(e.nodes[name], join(e.path, name), "is not used with %s %s: remove it", keyCredential, way)
			}
		}
	}
	switch {
	case way == credentialWorkload || way == credentialManaged:
		useless(keyAPIAccessKey, keyCertificateFile, keyCertificatePass)
	case way == credentialSecret:
		useless(keyCertificateFile, keyCertificatePass)
	case way == credentialCertificate:
		useless(keyAPIAccessKey)
	case key && certificate:
		r.report(e.nodes[keyCertificateFile], join(e.path, keyCertificateFile), "give either %s or %s, not both", keyAPIAccessKey, keyCertificateFile)
	case !key && !certificate:
		r.report(e.node, join(e.path, keyAPIAccessKey), "is missing: give %s or %s", keyAPIAccessKey, keyCertificateFile)
	}
	switch {
	case way == credentialSecret && !key:
		r.report(e.node, join(e.path, keyAPIAccessKey), "is missing: %s %s needs it", keyCredential, way)
	case way == credentialCertificate && !certificate:
		r.report(e.node, join(e.path, keyCertificateFile), "is missing: %s %s needs it", keyCredential, way)
	case way == "" && e.given(keyCertificatePass) && !certificate:
		r.report(e.nodes[keyCertificatePass], join(e.path, keyCertificatePass), "needs %s", keyCertificateFile)
	}
	id, _ := e.values[keyManagedID].(string)
	switch {
	case e.given(keyManagedID) && way != credentialManaged:
		r.report(e.nodes[keyManagedID], join(e.path, keyManagedID), "needs %s %s", keyCredential, credentialManaged)
	case id != "" && id != "system" && !option.IsGUID(id) && !option.HasReference(id):
		r.report(e.nodes[keyManagedID], join(e.path, keyManagedID), "must be the client ID of a managed identity, a GUID, or the word system")
	}
}

// given reports whether the operator gave a value, right or wrong.
func (e *entry) given(key string) bool {
	n := e.nodes[key]
	return n != nil && !isNull(n) && (n.Kind != yaml.ScalarNode || n.Value != "")
}

// checkIdentifiers finds the two ids of an app registration swapped into one another.
func (r *reader) checkIdentifiers(e *entry) {
	directory, ok := e.values[keyDirectoryID].(string)
	if ok && directory == e.values[keyApplicationID] {
		r.report(e.nodes[keyApplicationID], join(e.path, keyApplicationID), "is the same as %s: the portal shows two different ids", keyDirectoryID)
	}
}

// warnConnector points at what works, but is seldom meant.
func (r *reader) warnConnector(e *entry) {
	if e.spec[keyNoVerify] == true {
		r.warn(e.nodes[keyNoVerify], join(e.path, keyNoVerify), "the service's certificate is not checked: anybody on the way can read and change the logs; prefer ca_file")
	}
	for _, key := range []string{keyAPIAccessKey, keyCertificatePass} {
		if text, ok := e.spec[key].(string); ok && text != KeptSecret && option.NewRef(text).Literal() {
			r.warn(e.nodes[key], join(e.path, key), "the secret stands in the document: prefer ${env:NAME} or ${file:PATH}")
		}
	}
	text, _ := e.values[keyAuthority].(string)
	authority, err := url.Parse(text)
	if err != nil {
		return
	}
	plan, _ := e.values[keyPlan].(string)
	switch {
	case strings.EqualFold(authority.Hostname(), "login.microsoftonline.de"): // spec/entra-auth.md section 2
		r.warn(e.nodes[keyAuthority], join(e.path, keyAuthority), "the German cloud was closed on 29 October 2021")
	case (plan == "gcc_high" || plan == "dod") && strings.EqualFold(authority.Hostname(), "login.microsoftonline.com"):
		r.warn(e.nodes[keyAuthority], join(e.path, keyAuthority), "the plan %s signs in at https://login.microsoftonline.us", plan)
	}
}

// checkTogether checks the connectors of a document against each other.
func (r *reader) checkTogether(connectors []Connector) {
	names := map[string]Connector{}
	tenants := map[string]Connector{}
	for _, c := range connectors {
		if first, taken := names[c.Name]; taken && c.Name != "" {
			r.report(c.at.name, join(c.at.path, keyName), "the name %q is taken by the connector on line %d", c.Name, first.Pos.Line)
		} else {
			names[c.Name] = c
		}
		if c.DirectoryID() == "" || c.TenantName == "" {
			continue
		}
		if first, known := tenants[c.DirectoryID()]; !known {
			tenants[c.DirectoryID()] = c
		} else if first.TenantName != c.TenantName {
			r.report(c.at.tenant, join(c.at.path, keyTenantName), "the directory %s already has the tenant_name %q on line %d, and can have only one",
				c.DirectoryID(), first.TenantName, first.at.tenant.Line)
		}
	}
}
