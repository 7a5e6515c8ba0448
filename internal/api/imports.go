package api

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type importInput struct{ Body ImportRequest }

type importID struct {
	ID string `path:"id"`
}

// importFileInput takes the body as it streams in, which is why it has no Body field.
type importFileInput struct {
	ID   string `path:"id"`
	Name string `query:"name" required:"true" minLength:"1" doc:"Name of the file; its extension tells the format: .gz, .csv, .json, .ndjson"`
	body io.Reader
}

// Resolve implements huma.Resolver.
func (in *importFileInput) Resolve(ctx huma.Context) []error {
	in.body = ctx.BodyReader()
	return nil
}

func (s *server) importRoutes(api huma.API) {
	create := operation("create-import", http.MethodPost, "/imports", "Imports", "Open an import")
	create.DefaultStatus = http.StatusCreated
	handle(s, api, create,
		func(ctx context.Context, in *importInput) (Import, error) {
			job, err := s.service.CreateImport(ctx, in.Body)
			return job.listed(), err
		})
	handle(s, api, operation("list-imports", http.MethodGet, "/imports", "Imports", "List imports, newest first"),
		func(ctx context.Context, _ *struct{}) ([]Import, error) {
			all, err := s.service.Imports(ctx)
			for i := range all {
				all[i] = all[i].listed()
			}
			return listed(all), err
		})
	put := operation("import-file", http.MethodPut, "/imports/{id}/files", "Imports", "Import one file, of any size; the body is the file")
	put.MaxBodyBytes = -1
	put.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	handle(s, api, put,
		func(ctx context.Context, in *importFileInput) (FileResult, error) {
			result, err := s.service.ImportFile(ctx, in.ID, in.Name, in.body)
			result.MalformedExamples = listed(result.MalformedExamples)
			return result, err
		})
	handle(s, api, operation("finish-import", http.MethodPost, "/imports/{id}/finish", "Imports",
		"Close an import and wait until its records can be searched"),
		func(ctx context.Context, in *importID) (Import, error) {
			job, err := s.service.FinishImport(ctx, in.ID)
			return job.listed(), err
		})
}

// listed makes missing lists empty ones.
func (i Import) listed() Import {
	i.Files = listed(i.Files)
	for n := range i.Files {
		i.Files[n].MalformedExamples = listed(i.Files[n].MalformedExamples)
	}
	return i
}
