package activity

import (
	"slices"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/m365"
)

// The values of the option credential.
const (
	CredentialSecret           = "secret"
	CredentialCertificate      = "certificate"
	CredentialWorkloadIdentity = string(m365.WorkloadIdentity)
	CredentialManagedIdentity  = string(m365.ManagedIdentity)
)

// systemAssigned is the ManagedIdentityID that is no client id.
const systemAssigned = "system"

func credentials() []string {
	return []string{CredentialSecret, CredentialCertificate, CredentialWorkloadIdentity, CredentialManagedIdentity}
}

// checkCredential compares the way of signing in with what is given for it. Op of the error is the option. What is
// missing or given twice without a way of signing in is m365's business.
func (cfg Config) checkCredential() *fault.Error {
	secret, certificate := !cfg.APIAccessKey.Empty(), cfg.CertificateFile != ""
	wrong := func(name, what, hint string) *fault.Error { return fault.New(fault.Config, name, what).WithHint(hint) }
	const mismatch = "remove credential, or give what it stands for and nothing else"
	switch {
	case cfg.Credential != "" && !slices.Contains(credentials(), cfg.Credential):
		return wrong("credential", "must be one of "+strings.Join(credentials(), ", "), mismatch)
	case cfg.Credential == CredentialSecret && (!secret || certificate):
		return wrong("credential", "secret needs api_access_key, and no certificate_file", mismatch)
	case cfg.Credential == CredentialCertificate && (!certificate || secret):
		return wrong("credential", "certificate needs certificate_file, and no api_access_key", mismatch)
	case cfg.identity() != "" && (secret || certificate):
		return wrong("credential", cfg.Credential+" signs in without api_access_key and certificate_file", mismatch)
	case cfg.ManagedIdentityID != "" && cfg.Credential != CredentialManagedIdentity:
		return wrong("managed_identity_id", "goes with credential managed_identity only", "remove managed_identity_id, or set credential to managed_identity")
	case cfg.ManagedIdentityID != "" && cfg.ManagedIdentityID != systemAssigned && !isGUID(cfg.ManagedIdentityID):
		return wrong("managed_identity_id", "must be the client ID of a managed identity, a GUID, or the word system",
			"copy the Client ID: portal.azure.com > Managed Identities > your identity > Overview")
	}
	return nil
}

// identity is the identity that signs in; empty: a secret or certificate does.
func (cfg Config) identity() m365.Identity {
	switch cfg.Credential {
	case CredentialWorkloadIdentity, CredentialManagedIdentity:
		return m365.Identity(cfg.Credential)
	}
	return ""
}

// credential is what m365 signs in with, at the host login.
func (cfg Config) credential(login string) m365.Credential {
	return m365.Credential{
		LoginURL: login, TenantID: cfg.DirectoryID, ClientID: cfg.ApplicationID,
		Secret: cfg.APIAccessKey, CertificateFile: cfg.CertificateFile, CertificatePassword: cfg.CertificatePassword,
		Identity: cfg.identity(), ManagedIdentityID: cfg.ManagedIdentityID, Refused: cfg.Refused,
	}
}
