package client_test

import (
	"errors"
	"testing"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/client"
	"sluice/internal/consent"
	"sluice/internal/fault"
)

// TestConsentOperations goes the way of a provider: a link, the tenant, its connectors.
func TestConsentOperations(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	applications, err := c.ConsentApplications(ctx)
	if err != nil || len(applications) != 1 || applications[0].Name != "onboarding" {
		t.Fatalf("%+v %v", applications, err)
	}
	begun, err := c.BeginConsent(ctx, consent.Request{Application: "onboarding", Form: consent.Code, Label: "Contoso"})
	if err != nil || begun.Form != consent.Code || begun.Label != "Contoso" || begun.URL == "" || begun.Expires.IsZero() {
		t.Errorf("%+v %v", begun, err)
	}
	if _, err := c.BeginConsent(ctx, consent.Request{Application: "nobody"}); !fault.Is(err, fault.NotFound) || fault.HintOf(err) == "" {
		t.Errorf("unknown application: %v", err)
	}
	if r, err := c.ConfirmConsent(ctx, api.ConfirmRequest{Application: "onboarding", Tenant: "x.example"}); err != nil || r.Error == nil || r.Error.Kind != fault.Config {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := c.CreateConnectors(ctx, apitest.ConsentTenant, api.CreateOptions{DryRun: true}); err != nil || !r.DryRun || len(r.Entries) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := c.CreateConnectors(ctx, "Fabrikam", api.CreateOptions{}); err != nil || r.DryRun || r.Entries[0].Action != api.Created {
		t.Errorf("%+v %v", r, err)
	}
	if tenants, err := c.ConsentTenants(ctx); err != nil || len(tenants) != 1 || len(tenants[0].Connectors) != 1 {
		t.Errorf("%+v %v", tenants, err)
	}
	_, err = c.CreateConnectors(ctx, "mistaken", api.CreateOptions{})
	if doc, ok := errors.AsType[*client.DocumentError](err); !ok || len(doc.Mistakes) != 1 {
		t.Errorf("mistakes: %v", err)
	}
}

func TestTypesHistoryDelete(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	types, err := c.Types(ctx)
	if err != nil || len(types) != 2 || types[0].Collects[1].Query != "msg_class:office365_dlp_all" {
		t.Errorf("%+v %v", types, err)
	}
	if _, err := c.Type(ctx, "a/b"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown type: %v", err)
	}
	if card, err := c.Type(ctx, "office365"); err != nil || card.Category != "office_suite" || len(card.Egress) != 1 {
		t.Errorf("%+v %v", card, err)
	}
	if changes, err := c.History(ctx, "gone"); err != nil || len(changes) != 3 || changes[2].What != "deleted" {
		t.Errorf("%+v %v", changes, err)
	}
	r, err := c.Delete(ctx, api.Connectors, "broken", api.DeleteOptions{StopSubscriptions: true})
	if err != nil || len(r.Subscriptions) != 2 || !r.Subscriptions[0].Stopped || r.Subscriptions[1].Error == nil {
		t.Errorf("%+v %v", r, err)
	}
}
