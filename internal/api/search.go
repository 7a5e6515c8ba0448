package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

// SearchQuery is a search as it is asked for, in the query string of GET and in the body of POST.
type SearchQuery struct {
	Query  string   `json:"query" query:"query" doc:"The query" example:"Operation:UserLoggedIn AND user.email:*@contoso.com"`
	Index  string   `json:"index,omitempty" query:"index" doc:"windows_events, alerts, syslog, quarantine, sluice_audit, or all (the first three; default)"`
	Lang   string   `json:"lang,omitempty" query:"lang" doc:"lq (default), kql or sql"`
	Since  string   `json:"since,omitempty" query:"since" doc:"Age (15m, 24h, 7d, 20y), RFC 3339, date or all; default 24h"`
	Until  string   `json:"until,omitempty" query:"until" doc:"The same; default open"`
	Limit  *int     `json:"limit,omitempty" minimum:"0" doc:"Most rows wanted; 0 for all; default 100"`
	Fields []string `json:"fields,omitempty" query:"fields" nullable:"false" doc:"Columns wanted"`
	Strict bool     `json:"strict,omitempty" query:"strict" doc:"Keep the pure boolean meaning of contradictory conjunctions"`
	Format Format   `json:"format,omitempty" query:"format" default:"ndjson" enum:"frames,ndjson,json,csv,raw" doc:"frames: NDJSON of columns, row and end frames; raw: the original records byte for byte"`
}

// searchGet takes the limit apart: a parameter cannot be a pointer, and a default in a body cannot tell 0 from nothing.
type searchGet struct {
	SearchQuery
	Most int `query:"limit" default:"100" minimum:"0" doc:"Most rows wanted; 0 for all"`
}

type searchPost struct{ Body SearchQuery }

func (s *server) searchRoutes(api huma.API) {
	describe := func(id, method string) huma.Operation {
		op := streamed(operation(id, method, "/search", "Search", "Search the lake"), api, typeOf[Frame]())
		content := op.Responses["200"].Content
		text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		content["application/json"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject}}}
		content["text/csv"], content["application/octet-stream"] = text, text
		op.Responses["200"].Description = "Rows in the format asked for. Formats other than frames end with the trailer " +
			trailerEnd + " (JSON of End) or " + trailerError + " (JSON of Problem)"
		return op
	}
	huma.Register(api, describe("search", http.MethodGet), func(_ context.Context, in *searchGet) (*huma.StreamResponse, error) {
		in.Limit = &in.Most
		return s.search(in.SearchQuery)
	})
	huma.Register(api, describe("search-post", http.MethodPost), func(_ context.Context, in *searchPost) (*huma.StreamResponse, error) {
		return s.search(in.Body)
	})
}

// resolve checks a search and fills in what it leaves out.
func (s *server) resolve(q SearchQuery) (SearchRequest, error) {
	r := SearchRequest{Query: q.Query, Index: IndexAll, Lang: LQ, Limit: DefaultLimit, Fields: q.Fields, Strict: q.Strict, Raw: q.Format == Raw}
	if q.Index != "" {
		name, ok := ParseIndex(q.Index)
		if !ok {
			return r, fault.Newf(fault.Config, "", "there is no index %q", q.Index).WithHint("use one of " + strings.Join(Indices(), ", "))
		}
		r.Index = name
	}
	if q.Lang != "" {
		r.Lang = Lang(strings.ToLower(q.Lang))
		if r.Lang != LQ && r.Lang != KQL && r.Lang != SQL {
			return r, fault.Newf(fault.Config, "", "there is no query language %q", q.Lang).WithHint("use one of " + strings.Join(Langs(), ", "))
		}
	}
	if q.Limit != nil {
		r.Limit = *q.Limit
	}
	if slices.Contains(q.Fields, "") {
		return r, fault.New(fault.Config, "", "the list of fields has an empty name")
	}
	var err error
	r.Since, r.Until, err = s.parseRange(q.Since, q.Until, DefaultSince)
	return r, err
}

func (s *server) search(q SearchQuery) (*huma.StreamResponse, error) {
	format := newRowFormat(q.Format)
	return s.streaming(format.contentType(), func(st *stream) {
		st.trailers = q.Format != Frames
		request, err := s.resolve(q)
		if err != nil {
			st.fail(err, nil)
			return
		}
		end, err := s.rows(st, format, request)
		late := func(p *Problem) error { return setTrailer(st, trailerError, p) }
		if q.Format == Frames {
			late = func(p *Problem) error { return st.frame(Frame{Error: p}) }
		}
		if err != nil {
			st.fail(err, late)
			return
		}
		if q.Format == Frames {
			err = st.frame(Frame{End: end})
		} else {
			err = setTrailer(st, trailerEnd, end)
		}
		if err != nil {
			st.broken(err)
		}
	}), nil
}

// rows writes the rows of an answer and returns its end.
func (s *server) rows(st *stream, format rowFormat, request SearchRequest) (*End, error) {
	var end *End
	for frame, err := range s.service.Search(st.ctx, request) {
		if err != nil {
			return nil, err
		}
		switch {
		case frame.End != nil:
			end = frame.End
		case request.Raw == (frame.Raw == nil):
			return nil, fault.New(fault.Internal, "search", "the answer is of another kind than was asked for")
		case frame.Columns != nil:
			st.start()
			err = format.columns(st.out, frame.Columns)
		default:
			st.start()
			err = format.row(st.out, frame)
		}
		if err != nil {
			return nil, err
		}
	}
	if end == nil {
		return nil, fault.New(fault.Internal, "search", "the answer has no end")
	}
	st.start()
	return end, format.close(st.out)
}

// setTrailer puts v into a trailer. Everything of the body must have been written.
func setTrailer(st *stream, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	st.w.Header().Set(name, asciiJSON(text))
	return nil
}
