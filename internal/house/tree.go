package house

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Package is what the rules know of a folder with Go files.
type Package struct {
	Path    string   // below the module: internal/record
	Name    string   // of the package clause
	Comment string   // of the package, without the comment marks
	Imports []Import // of files that are no tests
	Starts  string   // position of the first statement that starts a goroutine outside of tests, "" when none does
	Checks  bool     // whether its tests import goleak
}

// Import is one import of a file.
type Import struct {
	Path     string // below the module, or the full path of a foreign package
	Position string // file:line, below the root
}

// Root walks up from the working directory to the folder of go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

// Packages parses the Go files below the folders of root. module is the path of the module. Folders named testdata,
// hidden folders and folders of other modules are left out.
func Packages(root, module string, folders ...string) ([]Package, error) {
	var packages []Package
	for _, folder := range folders {
		top := filepath.Join(root, folder)
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if name := d.Name(); path != top && (name == "testdata" || strings.HasPrefix(name, ".") || isModule(path)) {
				return filepath.SkipDir
			}
			p, err := parsePackage(root, module, path)
			if err == nil && p.Name != "" {
				packages = append(packages, p)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return packages, nil
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parsePackage(root, module, dir string) (Package, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Package{}, err
	}
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return Package{}, err
	}
	p := Package{Path: filepath.ToSlash(below)}
	files := token.NewFileSet()
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		if match, err := build.Default.MatchFile(dir, e.Name()); err != nil || !match {
			continue
		}
		name := filepath.Join(dir, e.Name())
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return p, err
		}
		at := func(n ast.Node) string {
			return fmt.Sprintf("%s/%s:%d", p.Path, e.Name(), files.Position(n.Pos()).Line)
		}
		if strings.HasSuffix(e.Name(), "_test.go") {
			p.Checks = p.Checks || importsGoleak(f)
			continue
		}
		p.add(f, module, at)
	}
	return p, nil
}

// add takes in a file that is no test.
func (p *Package) add(f *ast.File, module string, at func(ast.Node) string) {
	p.Name = f.Name.Name
	if f.Doc != nil {
		p.Comment += f.Doc.Text()
	}
	for _, spec := range f.Imports {
		p.Imports = append(p.Imports, Import{strings.TrimPrefix(importPath(spec), module+"/"), at(spec)})
	}
	if n := startsGoroutine(f); n != nil && p.Starts == "" {
		p.Starts = at(n)
	}
}

func importPath(spec *ast.ImportSpec) string {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return path
}

func importsGoleak(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return importPath(s) == "go.uber.org/goleak" })
}

// startsGoroutine finds a go statement, or a call of a method Go with one function: that of sync.WaitGroup and errgroup.
func startsGoroutine(f *ast.File) (found ast.Node) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = n
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && len(n.Args) == 1 {
				found = n
			}
		}
		return found == nil
	})
	return found
}
