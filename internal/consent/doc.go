// Package consent brings customers' tenants in: the way a provider onboards fifty of them with one registration.
//
// # The protocol
//
// A multi-tenant application is registered once, in the provider's directory. A customer's administrator consents to it,
// and from then on the application signs in to the customer's tenant without any user (spec/entra-auth.md section 6):
//
//	m.Begin     a link with a fresh state; the operator opens it or sends it to the customer's administrator
//	            ... the administrator signs in at Microsoft and presses Accept; Microsoft sends the browser back ...
//	m.Callback  checks the state, finds out the tenant, has it proved, and records it
//	m.CreateFrom  writes the connectors of that tenant from the application's templates, as a document for apply
//
// Where the browser cannot come back (a server that only localhost reaches, an administrator elsewhere), m.Confirm takes the tenant
// id by hand and asks for the same proof.
//
// # What is believed
//
// The redirect is anonymous: anybody can send it. Three things make it worth something.
//
//   - The state. It has 256 random bits, is kept as a hash only, is valid for ten minutes and for one answer, and belongs to
//     one application, one form and, if it was given, one tenant. An answer without a good state changes nothing and
//     shows nothing of what it carried. It is not bound to the operator's browser, because the customer's
//     administrator has another one: whoever has the link can answer it.
//   - The proof. The value `tenant` of a redirect is only a claim. A token for the application alone is obtained from that
//     very tenant, and its tid and appid are compared (SignIn.AppToken). Without consent Microsoft refuses it, or gives
//     one without roles, which is recorded as a tenant that misses permissions.
//   - The order. error is looked at first, because admin_consent=True is also part of a refusal.
//
// A consent takes a moment to reach the sign-in service, so the proof is tried a few times.
//
// # What is kept
//
// In the Store, below the prefix "consent/": pending states, tenants, and applications that were made with apply (Put). The
// applications of sluice.yaml are given by Declare and live in memory. A declaration keeps its credential as a
// reference, which is looked up at each use. A credential that is written out is sealed before it is stored (Sealer) and
// shown as config.KeptSecret (Application.JSON); Put takes that for the stored one, so what is shown can be applied again.
//
// Nothing here starts a goroutine. A Manager is safe for concurrent use by one process; the single use of a state is not
// guarded against a second process on the same database.
package consent
