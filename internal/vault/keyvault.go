package vault

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// KeyVaultConfig says how Azure Key Vault is reached. The zero value is right for Azure.
type KeyVaultConfig struct {
	// Credential signs in. nil: azidentity's DefaultAzureCredential, made at first use: workload identity, managed
	// identity, or what the variables AZURE_* say.
	Credential azcore.TokenCredential
	// AllowedHosts are hosts (with port unless 443) beside the vaults of Microsoft's clouds that may be asked, and so
	// get a token for Key Vault.
	AllowedHosts []string
	// Transport opens connections. nil: TLS 1.2 or newer, and the proxy of the environment.
	Transport http.RoundTripper
}

// vaults asks key vaults. It keeps nothing but clients. It is safe for concurrent use.
type vaults struct {
	cfg     KeyVaultConfig
	retries int32

	mu         sync.Mutex
	credential azcore.TokenCredential
	clients    map[string]*azsecrets.Client // by host
}

func newVaults(cfg KeyVaultConfig) *vaults {
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	cfg.AllowedHosts = slices.Clone(cfg.AllowedHosts)
	for i, h := range cfg.AllowedHosts {
		cfg.AllowedHosts[i] = strings.ToLower(strings.TrimSuffix(h, ":443"))
	}
	return &vaults{cfg: cfg, retries: 2, credential: cfg.Credential, clients: map[string]*azsecrets.Client{}}
}

// allow checks the host of a reference.
func (v *vaults) allow(host string) error {
	if knownVault(host) || slices.Contains(v.cfg.AllowedHosts, host) {
		return nil
	}
	return fault.Newf(fault.Config, "", "%s is not a host of Azure Key Vault, so nothing was sent to it", host).
		WithHint("want VAULT." + strings.Join(vaultSuffixes(), ", VAULT.") + "; any other host must be allowed in the configuration of the server")
}

// options are the SDK's for requests to host, with the credential.
func (v *vaults) options(host string) (azcore.ClientOptions, azcore.TokenCredential, error) {
	if err := v.allow(host); err != nil {
		return azcore.ClientOptions{}, nil, err
	}
	if v.credential == nil {
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return azcore.ClientOptions{}, nil, signInError(err)
		}
		v.credential = credential
	}
	return azcore.ClientOptions{
		Transport: newGuard(host, v.cfg.Transport),
		Retry:     policy.RetryOptions{MaxRetries: v.retries, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 4 * time.Second},
		Telemetry: policy.TelemetryOptions{ApplicationID: "sluice"},
	}, vaultOnly{v.credential}, nil
}

func (v *vaults) client(host string) (*azsecrets.Client, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.clients[host]; c != nil {
		return c, nil
	}
	options, credential, err := v.options(host)
	if err != nil {
		return nil, err
	}
	c, err := azsecrets.NewClient("https://"+host, credential, &azsecrets.ClientOptions{
		ClientOptions: options, DisableChallengeResourceVerification: !knownVault(host), // vaultOnly stays in every case
	})
	if err != nil {
		return nil, fault.New(fault.Config, "", "the key vault client cannot be made")
	}
	v.clients[host] = c
	return c, nil
}

// get asks the vault for a secret.
func (v *vaults) get(ctx context.Context, s KeyVaultSecret) (Value, error) {
	client, err := v.client(s.Host)
	if err != nil {
		return Value{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := client.GetSecret(ctx, s.Name, s.Version, nil)
	if err != nil {
		return Value{}, vaultError(ctx, s.Host, err)
	}
	if answer.Value == nil || trim(*answer.Value) == "" {
		return Value{}, fault.New(fault.Config, "", "the secret is empty").WithHint("give it a value in Azure Key Vault")
	}
	value := Value{Secret: secret.New(trim(*answer.Value))}
	if answer.Attributes != nil && answer.Attributes.Expires != nil {
		value.Expires = answer.Attributes.Expires.UTC()
	}
	if answer.ContentType != nil {
		value.ContentType = *answer.ContentType
	}
	if answer.ID != nil {
		value.Version = answer.ID.Version()
	}
	return value, nil
}

// vaultError classifies a failure of the SDK. The SDK's own text holds whole answers and is not used.
func vaultError(ctx context.Context, host string, err error) error {
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		return ours
	}
	if ctx.Err() != nil {
		return fault.Newf(fault.KindOf(ctx.Err()), "", "no answer from %s", host).WithCause(ctx.Err()).
			WithHint("check network, firewall and proxy")
	}
	if isSignIn(err) {
		return signInError(err)
	}
	if failed, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refused(host, failed)
	}
	return fault.Newf(fault.Unavailable, "", "%s cannot be reached, or its answer cannot be read", host).WithCause(cause(err)).
		WithHint("check network, DNS, firewall and proxy")
}

// refused explains an answer that is no success.
func refused(host string, failed *azcore.ResponseError) *fault.Error {
	e := fault.Newf(fault.Unavailable, "", "%s answered with status %d", host, failed.StatusCode).WithHint("Azure Key Vault has a problem; it is asked again by itself")
	switch {
	case failed.StatusCode == http.StatusUnauthorized:
		e = fault.Newf(fault.Auth, "", "%s does not accept the identity of this server", host).
			WithHint("check that the identity (workload identity, managed identity or AZURE_* variables) belongs to the directory of the vault")
	case failed.StatusCode == http.StatusForbidden:
		e = fault.Newf(fault.Permission, "", "%s refuses the access", host).
			WithHint("give this server's identity the role Key Vault Secrets User on the vault (Key Vault Crypto User for a key); check the vault's firewall, and that the secret is enabled")
	case failed.StatusCode == http.StatusNotFound:
		e = fault.Newf(fault.NotFound, "", "%s does not have it", host).WithHint("check the name and version in the reference, and whether it was deleted")
	case failed.StatusCode == http.StatusTooManyRequests:
		e = fault.Newf(fault.Throttled, "", "%s asks to slow down", host).WithHint("it is asked again by itself")
	case failed.StatusCode/100 == 3:
		e = fault.Newf(fault.Config, "", "%s redirects to another place, and nothing was sent there", host).
			WithHint("check the host of the reference, and whether a proxy answers in the place of the vault")
	case failed.StatusCode/100 == 4:
		e = fault.Newf(fault.Config, "", "%s does not understand the request (status %d)", host, failed.StatusCode).WithHint("check the reference")
	}
	if errorCode.MatchString(failed.ErrorCode) {
		e.Code = failed.ErrorCode
	}
	e.Status = failed.StatusCode
	return e
}

// isSignIn reports whether err is a failure to get a token.
func isSignIn(err error) bool {
	_, failed := errors.AsType[*azidentity.AuthenticationFailedError](err)
	_, required := errors.AsType[*azidentity.AuthenticationRequiredError](err)
	// DefaultAzureCredential's own error has no exported type; its text begins with the name.
	return failed || required || strings.HasPrefix(err.Error(), "DefaultAzureCredential:")
}

// signInError explains that there is no token. The SDK's text holds whole answers of the sign-in service and is not
// used, apart from Microsoft's error number.
func signInError(err error) *fault.Error {
	e := fault.New(fault.Auth, "", "this server cannot sign in to Azure for its Key Vault").
		WithHint("give the server a workload identity or a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET in its environment")
	return e.WithCode(aadsts.FindString(err.Error()))
}
