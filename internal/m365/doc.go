// Package m365 is the one HTTP client with which Sluice talks to Microsoft.
//
// A driver knows the words of one API; everything that all of them share lives here:
//
//	Plans      which host, token audience and sign-in host a subscription plan uses
//	Tokens     access tokens, one credential per tenant, application, key and audience, shared by all connectors
//	Transports the connections, shared by all connectors that trust the same authorities
//	Pacers     one token bucket per Microsoft tenant, shared by all connectors of that tenant
//	API        an API's error codes as data: code -> kind of failure, operator sentence, hint
//	Client     one API of one tenant: Do sends a request and returns the decoded body or a classified *fault.Error
//	Exchange   the request and answer behind a failure, fit to be shown to an operator
//
// Explanations are written once, for the running collector and for connection tests alike: signInRules (sign-in codes),
// API.Codes (the API's codes), networkError and certificateError (everything below HTTP). A hint is a list of steps parted
// by "; " that says what to click.
//
// What a caller can rely on:
//
//   - The bearer token goes to the configured scheme, host and port only. Absolute addresses that an answer named
//     (contentUri, NextPageUri) and redirects are checked before anything is sent.
//   - The client neither retries nor sleeps, with two exceptions that are its purpose: a refused token is renewed once,
//     and a request waits for its turn at the tenant's pacer. A longer pause comes back as fault.Throttled at once.
//   - Every failure is a *fault.Error. Its text holds no token, no secret and no query of a link.
//   - A body that ends early, is reset, or fails its gzip checksum gives fault.Unavailable from Read, never a plain end.
//
// A typical driver:
//
//	plan, _ := m365.PlanByName("enterprise")
//	c, err := m365.New(m365.Config{
//	        API: m365.ManagementActivity(), BaseURL: plan.APIURL, Audience: plan.Audience,
//	        Credential: m365.Credential{LoginURL: plan.LoginURL, TenantID: tid, ClientID: app, Secret: key},
//	        Transports: transports, Tokens: tokens, Pacer: pacers.For(tid, 1200), Clock: clk, Logger: log,
//	})
//	resp, err := c.Get(ctx, "list subscriptions", "/api/v1.0/"+tid+"/activity/feed/subscriptions/list")
//
// Wire facts: spec/entra-auth.md, spec/http-behaviour.md, spec/management-activity-api.md.
package m365
