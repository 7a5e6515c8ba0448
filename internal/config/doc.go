// Package config reads sluice.yaml, the documents of `sluice apply` and the connector specifications of the state
// database, and writes connectors back for `sluice get`.
//
// # One declaration
//
// Nothing here knows the options of a driver. A driver declares them as data (package option), this package declares
// the options of the server and those that every connector has, and from these lists come the checking of a document,
// the stored form, the printed form, the JSON Schema and the reference pages. A new option is one line in its driver.
//
// # All mistakes at once
//
// Load and ParseApply never stop at the first mistake. They return Problems: every mistake of the document, in the
// order of the document, each with its position, the path of the key, what is wrong and, for a misspelt word, the
// nearest one that exists:
//
//	sluice.yaml:12:5: connectors[0].intervall: unknown key, did you mean "interval"?
//	sluice.yaml:14:19: connectors[0].directory_id: must be a GUID such as 11111111-..., found "contoso"
//
// The kind of such an error is fault.Config. Each mistake has a fixture in testdata/bad whose first lines are the exact
// messages. What is odd but workable comes as File.Warnings.
//
// # Secrets and references
//
// A text may name a place instead of holding the value: ${env:NAME}, ${file:PATH} and, for secrets,
// @Microsoft.KeyVault(SecretUri=...). A secret stays as it was given in every form that this package makes, and is
// looked up when it is used (package vault), so that a rotated secret needs no restart and no copy of it exists elsewhere.
// References in other options are looked up by Load and by Connector.Resolve. No message quotes a secret.
//
// A literal secret is sealed by the caller before a connector is stored; FromSpec takes the sealed text, which no document
// may hold. The writers print a literal or sealed secret as KeptSecret. ParseApply takes that for a connector, and
// Connector.Keep puts the stored secret in its place: so what `sluice get` prints can be applied.
//
// # Three forms of a connector
//
//	document --Load, ParseApply--> Connector --SpecJSON--> state database --FromSpec--> Connector
//	                                         --WriteYAML--> `sluice get -o yaml`, which ParseApply reads back
//
// Log filters (package filter) have the same three forms: Filter, Filter.SpecJSON and FilterFromSpec, WriteFiltersYAML.
// That the filters exist to which a connector refers is checked by CheckLogFilters, which the caller gives the names of
// all of them.
//
// SpecJSON is canonical: the given keys, in the order of their declaration, in one spelling each. Two connectors are
// configured alike exactly when their SpecJSON is equal.
//
// The targets of notifications (File.Notifications) stand only in the file of the server and have no other form. The
// applications of consent (File.Consent, Apply.Consent) are read, compared and written by package consent.
//
// Everything here is a function of its arguments and safe for concurrent use.
package config
