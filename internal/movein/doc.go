// Package movein translates the settings of other collectors of the Management Activity API into connectors, so that a
// change to Sluice is one command: `sluice apply -f THEIR_FILE`.
//
// It reads three kinds of documents, which Detect tells apart from each other and from Sluice's own by what is in them:
//
//	Devo       the collector's JSON: inputs.office365 with credentials and services
//	Filebeat   filebeat.yml, a file of inputs with type o365audit, modules.d/o365.yml
//	Sentinel   the settings of the "O365 Data" function app: local.settings.json, what
//	           `az functionapp config appsettings list` prints, an ARM template or its parameters, a plain object
//
// # What comes out
//
// Translate returns a document that package config accepts, and says about every setting that it met what became of it:
// Taken names the option that a setting went to, Left names the reason why it went nowhere. Nothing is dropped without
// a line; of an ARM template only the app settings are looked at. Both hold names of settings and never their values, so they can be printed. The document itself can hold a
// client secret, exactly where the original held one.
//
//	document ─► tree with positions ─► drafts of connectors ─► names, directory ids ─► YAML ─► config.ParseApply
//	            document.go            devo, filebeat, sentinel  names, resolver       draft.go
//
// The last step is part of the translation: what package config finds wrong is reported at the place in the original
// document that the value came from, in the words of that document. So a translated document is always one that
// `sluice apply` accepts, and all mistakes come at once, as config.Problems:
//
//	local.settings.json:6:17: Values.clientID: must be a GUID such as 11111111-..., found "contoso-app"
//
// # Tenants
//
// Each tenant becomes one connector, named after the tenant and the connector's type: contoso-office365. The name of a
// tenant comes from, in this order, a key tenant_name that the operator added to the document, the name that Sluice
// already knows the directory by (Options.TenantName), the domain in the document, and else the directory id. It
// cannot be changed once the connector exists, so a name that had to be made up is a warning.
//
// A tenant that is given by its domain is looked up through a Resolver, since the API wants the directory id. OpenID is
// the one that asks the sign-in service; it sends nothing but the domain.
//
// # References
//
// Filebeat's ${NAME} becomes ${env:NAME}; Sluice's own references and @Microsoft.KeyVault(...) stay as they are. A
// literal ${ is escaped. A reference is looked up by the server, in its own environment.
//
// # Sources of the names
//
// Filebeat's and the function app's settings are those of their public source code. Of Devo's the names of services and
// credentials are documented; the others are accepted by what they contain ("bloom") or as aliases, and listed as such
// in devo.go.
//
// Everything here is safe for concurrent use and keeps no state between calls.
package movein
