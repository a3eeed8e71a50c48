// Tables writes down what the table tests of Kubernetes hold its own code to: the tests are run
// as they are, with a hook in the functions they test that records what goes in and what comes out.
//
//	go run . FOLDER
//
// writes FOLDER/merge.json.gz and FOLDER/schema.json.gz. README.md tells more.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

//go:embed hooks
var hooks embed.FS

// A table is what the tests of some packages of one module hold.
type table struct {
	name, module string
	// Packages whose tests are run, relative to the module.
	packages []string
	// What is replaced in files of the module. A text that is not there is an error.
	patches []patch
	// Files put beside those of the module, by the name of the hook.
	files map[string]string
	// What a test calls first.
	enter, imports string
}

type patch struct{ file, old, new string }

// hooked renames a function, so that the one of the hook is called instead.
func hooked(file, signature, old, new string) patch {
	return patch{file, signature, strings.Replace(signature, old, new, 1)}
}

const state = "internal/fixture/state.go"

var tables = []table{
	{
		name: "merge", module: "sigs.k8s.io/structured-merge-diff/v6", packages: []string{"merge"},
		patches: []patch{
			hooked(state, "func (s *State) UpdateObject(", "Update", "update"),
			hooked(state, "func (s *State) ApplyObject(", "Apply", "apply"),
			{state,
				"p, err := a.preprocess(state.Parser)\n\tif err != nil {",
				"p, err := a.preprocess(state.Parser)\n\tif err != nil {\n\t\tstate.refused(a.Object, a.APIVersion, a.Manager, false, err)"},
			{state,
				"FromYAML(FixTabsOrDie(obj))\n\tif err != nil {\n\t\treturn err",
				"FromYAML(FixTabsOrDie(obj))\n\tif err != nil {\n\t\ts.refused(obj, version, manager, force, err)\n\t\treturn err"},
		},
		files: map[string]string{
			"merge.go.txt":     "internal/fixture/hook.go",
			"fieldpath.go.txt": "fieldpath/hook.go",
		},
		enter: "tables.Enter(t)", imports: `tables "sigs.k8s.io/structured-merge-diff/v6/internal/fixture"`,
	},
	{
		name: "schema", module: "k8s.io/apiextensions-apiserver",
		packages: []string{
			"pkg/apiserver/schema/pruning", "pkg/apiserver/schema/defaulting", "pkg/apiserver/schema/listtype",
			"pkg/apiserver/schema/objectmeta", "pkg/apiserver/schema/cel", "pkg/apiserver/validation",
			"pkg/apis/apiextensions/validation",
		},
		patches: []patch{
			hooked("pkg/apiserver/schema/pruning/algorithm.go", "func PruneWithOptions(", "Prune", "prune"),
			hooked("pkg/apiserver/schema/defaulting/algorithm.go", "func Default(x", "Default", "fill"),
			hooked("pkg/apiserver/schema/defaulting/prunenulls.go", "func PruneNonNullableNullsWithoutDefaults(", "Prune", "prune"),
			hooked("pkg/apiserver/schema/listtype/validation.go", "func ValidateListSetsAndMaps(", "Validate", "validate"),
			hooked("pkg/apiserver/schema/objectmeta/validation.go", "func Validate(", "Validate", "validateAll"),
			hooked("pkg/apiserver/schema/cel/validation.go", "func (s *Validator) Validate(", "Validate", "validateAll"),
			hooked("pkg/apiserver/validation/validation.go", "func NewSchemaValidatorForVersion(", "New", "new"),
			hooked("pkg/apiserver/validation/validation.go", "func ValidateCustomResourceUpdate(", "Validate", "validate"),
			hooked("pkg/apiserver/validation/validation.go", "func ValidateCustomResource(", "Validate", "validate"),
			hooked("pkg/apis/apiextensions/validation/validation.go", "func ValidateCustomResourceDefinition(", "Validate", "validate"),
		},
		files: map[string]string{
			"tables.go.txt":      "pkg/apiserver/schema/tables/tables.go",
			"pruning.go.txt":     "pkg/apiserver/schema/pruning/hook.go",
			"defaulting.go.txt":  "pkg/apiserver/schema/defaulting/hook.go",
			"listtype.go.txt":    "pkg/apiserver/schema/listtype/hook.go",
			"objectmeta.go.txt":  "pkg/apiserver/schema/objectmeta/hook.go",
			"cel.go.txt":         "pkg/apiserver/schema/cel/hook.go",
			"validation.go.txt":  "pkg/apiserver/validation/hook.go",
			"definitions.go.txt": "pkg/apis/apiextensions/validation/hook.go",
		},
		enter: "tables.Enter(t)", imports: `tables "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/tables"`,
	},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . FOLDER")
		os.Exit(2)
	}
	for _, t := range tables {
		if err := t.dump(os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "error: %s: %v\n", t.name, err)
			os.Exit(1)
		}
	}
}

func (t table) dump(folder string) error {
	scratch, err := os.MkdirTemp("", "tables")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", t.module).Output()
	if err != nil {
		return fmt.Errorf("%s is not to be had: %w", t.module, err)
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	modfile, err := t.hooked(dir, scratch)
	if err != nil {
		return err
	}
	records := filepath.Join(scratch, "records")
	arguments := []string{"test", "-vet=off", "-count=1", "-p=1", "-parallel=1", "-modfile=" + modfile}
	for _, p := range t.packages {
		arguments = append(arguments, t.module+"/"+p)
	}
	test := exec.Command("go", arguments...)
	test.Env = append(os.Environ(), "TABLES_OUT="+records)
	if out, err := test.CombinedOutput(); err != nil {
		return fmt.Errorf("tests failed: %w\n%s", err, out)
	}
	return write(records, filepath.Join(folder, t.name+".json.gz"), t.module+" "+version)
}

// hooked copies the module with the hooks in it, and writes a go.mod that names the copy.
func (t table) hooked(dir, scratch string) (string, error) {
	module := filepath.Join(scratch, "module")
	if err := os.CopyFS(module, os.DirFS(dir)); err != nil {
		return "", err
	}
	// Modules are kept unwritable.
	if out, err := exec.Command("chmod", "-R", "u+w", module).CombinedOutput(); err != nil {
		return "", fmt.Errorf("chmod: %w: %s", err, out)
	}
	for _, p := range t.patches {
		change := func(text string) (string, error) {
			if !strings.Contains(text, p.old) {
				return "", fmt.Errorf("%s has no %q any more", p.file, p.old)
			}
			return strings.ReplaceAll(text, p.old, p.new), nil
		}
		if err := rewrite(filepath.Join(module, p.file), change); err != nil {
			return "", err
		}
	}
	for _, p := range t.packages {
		found, _ := filepath.Glob(filepath.Join(module, p, "*_test.go"))
		for _, path := range found {
			if err := rewrite(path, t.entered); err != nil {
				return "", err
			}
		}
	}
	for hook, file := range t.files {
		text, err := hooks.ReadFile("hooks/" + hook)
		if err != nil {
			return "", err
		}
		path := filepath.Join(module, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		return "", err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return "", err
	}
	mod = fmt.Appendf(mod, "\nreplace %s => %s\n", t.module, module)
	path := filepath.Join(scratch, "go.mod")
	if err := os.WriteFile(path, mod, 0o600); err != nil {
		return "", err
	}
	return path, os.WriteFile(filepath.Join(scratch, "go.sum"), sums, 0o600)
}

func rewrite(path string, change func(string) (string, error)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := change(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(changed), 0o600)
}

var (
	test        = regexp.MustCompile(`func(?: Test\w+)?\(t \*testing\.T\) \{`)
	packageLine = regexp.MustCompile(`(?m)^package \w+$`)
)

// entered is a file of tests that say when they begin.
func (t table) entered(text string) (string, error) {
	if !test.MatchString(text) {
		return text, nil
	}
	text = test.ReplaceAllString(text, "$0 "+t.enter+"; ")
	// One after the other: there is one record of which test runs.
	text = strings.ReplaceAll(text, "t.Parallel()", "")
	return packageLine.ReplaceAllString(text, "$0\n\nimport "+t.imports), nil
}

// withSchemas are the parts of a record that have a schema: itself, and the conversions in it.
func withSchemas(record map[string]any) []map[string]any {
	all := []map[string]any{record}
	conversions, _ := record["conversions"].([]any)
	for _, one := range conversions {
		if conversion, _ := one.(map[string]any); conversion["schema"] != nil {
			all = append(all, conversion)
		}
	}
	return all
}

// write sorts the records, keeps each schema once and packs all.
func write(from, to, origin string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	decoder := json.NewDecoder(lines)
	decoder.UseNumber()
	type keyed struct {
		name, key string
		record    map[string]any
	}
	var all []keyed
	for decoder.More() {
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			return err
		}
		text, err := json.Marshal(record)
		if err != nil {
			return err
		}
		name, _ := record["name"].(string)
		// Operations are numbered; other calls come in any order.
		number, _ := record["number"].(json.Number)
		all = append(all, keyed{name, fmt.Sprintf("%s#%04s%s", name, number, text), record})
	}
	sort.Slice(all, func(a, b int) bool { return all[a].key < all[b].key })
	schemas, numbers, count := []any{}, map[string]int{}, map[string]int{}
	cases := []any{}
	for i, one := range all {
		if i > 0 && one.key == all[i-1].key {
			continue
		}
		count[one.name]++
		one.record["name"] = fmt.Sprintf("%s#%d", one.name, count[one.name])
		delete(one.record, "number")
		for _, record := range withSchemas(one.record) {
			text, err := json.Marshal(record["schema"])
			if err != nil {
				return err
			}
			if _, known := numbers[string(text)]; !known {
				numbers[string(text)] = len(schemas)
				schemas = append(schemas, record["schema"])
			}
			record["schema"] = numbers[string(text)]
		}
		cases = append(cases, one.record)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{
		"origin": origin, "licence": "Apache-2.0", "schemas": schemas, "cases": cases,
	}); err != nil {
		return err
	}
	var packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if _, err := zip.Write(text.Bytes()); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d cases, %d schemas, %d KB\n", to, len(cases), len(schemas), packed.Len()/1024)
	return os.WriteFile(to, packed.Bytes(), 0o644)
}
