package source

// Card is what a person wants to know of a connector type before creating a connector: what it brings, what it needs
// and how that is prepared. It is data of the driver, so that the API, the command line, the pages and the reference show the same
// facts. Steps are sentences for a person, in order; texts are plain.
type Card struct {
	Summary      string       `json:"summary" doc:"One sentence: what is collected and from where"`
	Category     string       `json:"category" doc:"Category of the product, as in msg_origin.category of the records"`
	Function     string       `json:"function" doc:"What a connector of the type does: collect"`
	Capabilities []Capability `json:"capabilities" nullable:"false"`
	Collects     []Collected  `json:"collects" nullable:"false" doc:"What is collected and where it is found"`
	Egress       []Egress     `json:"egress" nullable:"false" doc:"Hosts to allow in firewall and proxy, per subscription plan"`
	Licences     []string     `json:"licences" nullable:"false" doc:"What the tenant must have bought"`
	Permissions  []Permission `json:"permissions" nullable:"false" doc:"What the application must be granted"`
	Register     []string     `json:"register_application" nullable:"false" doc:"Steps to register the application"`
	Audit        []string     `json:"switch_auditing_on" nullable:"false" doc:"Steps to make the tenant write what is collected"`
	Naming       string       `json:"naming_hint" doc:"How to name a connector"`
	NamingSample string       `json:"naming_example"`
	Notes        []string     `json:"notes,omitempty" nullable:"false" doc:"Limits worth knowing"`
}

// Capability is something that connectors can or cannot do.
type Capability struct {
	Name string `json:"name"`
	Has  bool   `json:"has"`
	Note string `json:"note,omitempty"`
}

// Collected is one kind of content and how its records are found.
type Collected struct {
	ContentType string `json:"content_type"`
	What        string `json:"what" doc:"What is in it"`
	Index       string `json:"index" doc:"Index that holds the records"`
	Query       string `json:"query" doc:"Search that finds them"`
	Permission  string `json:"permission,omitempty" doc:"Permission that it needs"`
}

// Egress are the hosts that a subscription plan needs, each reached over HTTPS.
type Egress struct {
	Plan  string `json:"plan"`
	Hosts []Host `json:"hosts" nullable:"false"`
}

// Host is a host and what it is needed for.
type Host struct {
	Name string `json:"name"`
	Port int    `json:"port"`
	Why  string `json:"why"`
}

// Permission is an application permission of a Microsoft API.
type Permission struct {
	API      string `json:"api" doc:"Name of the API in the portal"`
	APIID    string `json:"api_id" doc:"Application ID of the API"`
	Name     string `json:"name" doc:"Name of the permission, as in the claim roles of a token"`
	ID       string `json:"id,omitempty" doc:"ID of the permission, for scripts"`
	Optional bool   `json:"optional" doc:"Only a part of the content needs it"`
	Why      string `json:"why"`
}

// Lacking names the permissions of the card that are not among the granted ones, optional ones last.
func (c Card) Lacking(granted func(role string) bool) []string {
	var lacking []string
	for _, optional := range []bool{false, true} {
		for _, p := range c.Permissions {
			if p.Optional == optional && !granted(p.Name) {
				lacking = append(lacking, p.Name)
			}
		}
	}
	return lacking
}
