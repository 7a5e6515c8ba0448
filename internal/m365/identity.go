package m365

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sluice/internal/fault"
)

// Identity is a way to sign in with what the machine is, instead of with what it knows.
type Identity string

const (
	// WorkloadIdentity signs in as ClientID with the token that Kubernetes writes for the pod, into the file that
	// AZURE_FEDERATED_TOKEN_FILE names. The application needs a federated credential for the pod's service account.
	WorkloadIdentity Identity = "workload_identity"

	// ManagedIdentity signs in with an identity that Azure gave to the machine. ManagedIdentityID says which and how:
	//
	//	""        the user-assigned identity ClientID itself; the API's permissions are assigned to it
	//	"system"  the system-assigned identity itself; ClientID is not used
	//	a GUID    the user-assigned identity with this client id proves to be ClientID, which has it as a federated
	//	          credential; this also works for tenants other than the machine's
	ManagedIdentity Identity = "managed_identity"
)

// exchangeScope is the audience of a token with which an identity stands for an application.
const exchangeScope = "api://AzureADTokenExchange/.default"

const identityHint = "check that this machine has the identity, and what is assigned to it: for workload_identity the pod needs the label azure.workload.identity/use and " +
	"the application a federated credential for its service account; for managed_identity assign the identity to the virtual machine or container, and the API's application permission to the identity"

func (c Credential) checkIdentity(op string) error {
	switch {
	case c.Identity != WorkloadIdentity && c.Identity != ManagedIdentity:
		return fault.Newf(fault.Config, op, "unknown identity %q", c.Identity).WithHint("give workload_identity or managed_identity")
	case !c.Secret.Empty() || c.CertificateFile != "":
		return fault.Newf(fault.Config, op, "%s signs in without api_access_key and certificate_file", c.Identity).WithHint("remove them, or remove credential")
	case c.TenantID == "" || c.ClientID == "" && c.ManagedIdentityID != "system":
		return fault.New(fault.Config, op, "directory_id and application_id are both needed").WithHint(overview)
	case c.Identity == WorkloadIdentity && c.ManagedIdentityID != "":
		return fault.New(fault.Config, op, "managed_identity_id goes with credential managed_identity only")
	}
	return nil
}

// identityCredential makes azidentity's credential for an identity. options carry the guarded transport of the sign-in
// host; the machine's own endpoint is another host, so it gets its own connections, without proxy and redirects.
func (s *tokenSource) identityCredential(options azcore.ClientOptions, noDiscovery bool) (azcore.TokenCredential, error) {
	if s.cred.Identity == WorkloadIdentity {
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, TenantID: s.cred.TenantID, ClientID: s.cred.ClientID, DisableInstanceDiscovery: noDiscovery,
		})
	}
	local := azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{
		Telemetry: options.Telemetry, Retry: options.Retry,
		Transport: &http.Client{
			Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, DisableKeepAlives: true},
			Timeout:       tokenTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}}
	switch s.cred.ManagedIdentityID {
	case "system":
		return azidentity.NewManagedIdentityCredential(&local)
	case "", s.cred.ClientID:
		local.ID = azidentity.ClientID(s.cred.ClientID)
		return azidentity.NewManagedIdentityCredential(&local)
	}
	local.ID = azidentity.ClientID(s.cred.ManagedIdentityID)
	machine, err := azidentity.NewManagedIdentityCredential(&local)
	if err != nil {
		return nil, err
	}
	assertion := func(ctx context.Context) (string, error) {
		token, err := machine.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{exchangeScope}})
		return token.Token, err
	}
	return azidentity.NewClientAssertionCredential(s.cred.TenantID, s.cred.ClientID, assertion,
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
}

// isLocal reports whether a failed sign-in failed on this side: the sign-in host had no part in it.
func (s *tokenSource) isLocal(ctx context.Context) bool {
	seen := s.authority.outcome()
	return s.cred.Identity != "" && ctx.Err() == nil && (seen.url == nil || seen.status/100 == 2)
}

// identityError explains a local failure: of the machine's own endpoint, or of the token file. azidentity's text holds
// whole answers and is not used.
func (s *tokenSource) identityError(err error) *fault.Error {
	const op = "sign in"
	e := fault.Newf(fault.Auth, op, "this machine has no usable %s", s.cred.Identity)
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
		e.Status = failed.RawResponse.StatusCode
		if e.Status == http.StatusTooManyRequests || e.Status >= 500 {
			e = fault.Newf(fault.Unavailable, op, "the endpoint of the %s answered with status %d", s.cred.Identity, e.Status).WithStatus(e.Status)
		}
	}
	return e.WithHint(identityHint)
}
