package notify

import (
	"context"
	"fmt"
	"iter"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/health"
	"sluice/internal/option"
	"sluice/internal/secret"
	"sluice/internal/source"
)

// Target delivers messages to one place. Methods may be called concurrently.
type Target interface {
	// Name identifies the target; it is unique and keeps its outbox.
	Name() string
	// Deliver sends one message once and returns nil when the far side accepted it. It neither repeats nor sleeps; the
	// same message may come again. The error is classified with package fault and names no secret.
	Deliver(ctx context.Context, m Message) error
	// Test tries the target out, including a message that says so, and yields each step as it finishes.
	Test(ctx context.Context) iter.Seq[source.Check]
}

// Policy says what a target is told and when.
type Policy struct {
	MinSeverity health.Status // health.Warning or health.Error
	Tenants     []string      // tell only about these; empty: all, and the server
	Resolved    bool          // tell when a problem is over
	Wait        time.Duration // collects changes before a message leaves
	Interval    time.Duration // between messages of the same cause
	Repeat      time.Duration // between reminders; 0: none
}

// DefaultPolicy is what Build makes without options.
func DefaultPolicy() Policy {
	return Policy{MinSeverity: health.Warning, Resolved: true, Wait: 30 * time.Second, Interval: 5 * time.Minute, Repeat: 24 * time.Hour}
}

// Route is a target with its policy.
type Route struct {
	Target Target
	Policy Policy
}

// Kind is a kind of target: its facts and its settings, the common ones included.
type Kind struct {
	Type    string
	Title   string
	Options []option.Option
}

// The kinds of targets that this package has.
const (
	TypeWebhook = "webhook"
	TypeEmail   = "email"
)

// Kinds lists the kinds of targets that Build can make.
func Kinds() []Kind {
	return []Kind{
		{Type: TypeWebhook, Title: "Webhook", Options: append(webhookOptions(), PolicyOptions()...)},
		{Type: TypeEmail, Title: "E-mail (SMTP)", Options: append(emailOptions(), PolicyOptions()...)},
	}
}

// PolicyOptions declares the settings that every target has. A destination that implements Target uses them too.
func PolicyOptions() []option.Option {
	p := DefaultPolicy()
	const month = 31 * 24 * 3600
	return []option.Option{
		{
			Name: "min_severity", Default: string(p.MinSeverity), Choices: []string{string(health.Warning), string(health.Error)},
			Help: "Tell from this severity on. Errors need somebody's attention; warnings may heal by themselves.",
		},
		{Name: "tenant_names", Type: option.StringList, Help: "Tell only about connectors of these tenants. Empty: all tenants and the server itself."},
		{Name: "send_resolved", Type: option.Bool, Default: p.Resolved, Help: "Tell when a problem is over."},
		{
			Name: "repeat_after", Type: option.Duration, Default: p.Repeat, Max: month,
			Help: "Remind of a problem that lasts, this long after it was last told. 0: never.",
		},
		{
			Name: "group_wait", Type: option.Duration, Default: p.Wait, Max: 3600, Advanced: true,
			Help: "Collect changes for this long before a message leaves.",
		},
		{
			Name: "group_interval", Type: option.Duration, Default: p.Interval, Max: 24 * 3600, Advanced: true,
			Help: "Further changes of a cause that was told wait until this long after that message.",
		},
	}
}

// PolicyFrom reads a policy out of values that were declared with PolicyOptions.
func PolicyFrom(v option.Values) Policy {
	return Policy{
		MinSeverity: health.Status(v.String("min_severity")), Tenants: v.List("tenant_names"), Resolved: v.Bool("send_resolved"),
		Wait: v.Duration("group_wait"), Interval: v.Duration("group_interval"), Repeat: v.Duration("repeat_after"),
	}
}

// Environment is what targets need from the program.
type Environment struct {
	Clock   clock.Clock
	Resolve func(ref string) (secret.Secret, error) // looks up a secret option, at each use
	Server  string                                  // how this server is called in messages
}

// Build makes a target of a kind. The values are declared with the options of the Kind. It connects to nothing. The error
// is of kind fault.Config and says which option is wrong.
func Build(kind, name string, v option.Values, env Environment) (Route, error) {
	var t Target
	var err error
	switch kind {
	case TypeWebhook:
		t, err = newWebhook(name, v, env)
	case TypeEmail:
		t, err = newEmail(name, v, env)
	default:
		err = fmt.Errorf("unknown type %q, known are %s, %s", kind, TypeWebhook, TypeEmail)
	}
	if err != nil {
		return Route{}, fault.Wrap(fault.Config, "set up notification "+name, err)
	}
	return Route{Target: t, Policy: PolicyFrom(v)}, nil
}

// resolve looks up a secret option; one that was not given is empty.
func (env Environment) resolve(ref option.Ref) (secret.Secret, error) {
	if ref.Empty() {
		return secret.Secret{}, nil
	}
	return env.Resolve(ref.Text())
}

// trial is the message of a test.
func (env Environment) trial(id, name string) Message {
	now := env.Clock.Now().UTC()
	e := Event{
		Kind: Trial, Key: "test", Status: health.Good, Reason: health.ReasonOK, Since: now, At: now,
		Message: "this is a test of the notification " + name + "; nothing happened",
	}
	return newMessage(id, env.Server, now, []Event{e}, 0)
}
