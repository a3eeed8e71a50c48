// Prints the table of messages (../messages.txt) from the Go types of Kubernetes, and
// encodes the objects of ../samples the way Go clients do:
//
//	go run . > ../messages.txt
//	go run . ../samples/*.json
//
// The types' tags say everything a reader of protobuf bodies needs: numbers, JSON
// names, what is inlined, and which zero values stand for "unset".
package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Groups and versions whose kinds are read.
var served = map[string]bool{
	"v1": true, "admissionregistration.k8s.io/v1": true, "apiextensions.k8s.io/v1": true,
	"apps/v1": true, "authentication.k8s.io/v1": true, "authorization.k8s.io/v1": true,
	"autoscaling/v1": true, "autoscaling/v2": true, "batch/v1": true,
	"certificates.k8s.io/v1": true, "coordination.k8s.io/v1": true, "discovery.k8s.io/v1": true,
	"events.k8s.io/v1": true, "flowcontrol.apiserver.k8s.io/v1": true,
	"networking.k8s.io/v1": true, "node.k8s.io/v1": true, "policy/v1": true,
	"rbac.authorization.k8s.io/v1": true, "scheduling.k8s.io/v1": true, "storage.k8s.io/v1": true,
}

// Types whose JSON is not that of their fields.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":       "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":  "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":   "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":   "raw",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":    "raw",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":   "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intstr",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "raw",
}

// Types that are one of two things in JSON.
var either = map[string]bool{"JSONSchemaPropsOrArray": true, "JSONSchemaPropsOrBool": true, "JSONSchemaPropsOrStringArray": true}

func id(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

type table struct {
	number map[reflect.Type]int
	types  []reflect.Type
}

func (t *table) of(m reflect.Type) int {
	if n, ok := t.number[m]; ok {
		return n
	}
	n := len(t.types)
	t.number[m] = n
	t.types = append(t.types, m)
	return n
}

// The word for a type: a scalar, a special, or the number of a message.
func (t *table) word(field reflect.Type) string {
	if word, ok := special[id(field)]; ok {
		return word
	}
	switch field.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return "int"
	case reflect.Float64:
		return "double"
	case reflect.Struct:
		return fmt.Sprint(t.of(field))
	case reflect.Slice:
		if field.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		// A named list (ExtraValue, Verbs) is a message around its items.
		return "list"
	}
	panic("no word for " + field.String())
}

func (t *table) field(f reflect.StructField) string {
	tags := strings.Split(f.Tag.Get("protobuf"), ",")
	if len(tags) < 2 {
		return ""
	}
	json := strings.Split(f.Tag.Get("json"), ",")
	name := json[0]
	flags := ""
	for _, option := range json[min(1, len(json)):] {
		if option == "omitempty" || option == "omitzero" {
			flags += "?"
		}
		if option == "inline" {
			flags += "<"
		}
	}
	for _, tag := range tags {
		if given, found := strings.CutPrefix(tag, "name="); found && name == "" && !strings.Contains(flags, "<") {
			name = given
		}
	}
	if name == "" {
		name = "-"
	}
	kind := f.Type
	if kind.Kind() == reflect.Pointer {
		kind, flags = kind.Elem(), flags+"*"
	}
	switch {
	case special[id(kind)] != "":
	case kind.Kind() == reflect.Map:
		kind, flags = kind.Elem(), flags+"{"
	case kind.Kind() == reflect.Slice && kind.Elem().Kind() != reflect.Uint8:
		kind, flags = kind.Elem(), flags+"["
	}
	if flags == "" {
		flags = "."
	}
	return fmt.Sprintf("%s %s %s %s", tags[1], name, t.word(kind), flags)
}

// Writes beside each JSON file what a Go client would send of it.
func encode(files []string) {
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	writer := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		object, _, err := codecs.UniversalDeserializer().Decode(text, nil, nil)
		if err != nil {
			panic(err)
		}
		out, err := os.Create(strings.TrimSuffix(file, ".json") + ".pb")
		if err != nil {
			panic(err)
		}
		if err := writer.Encode(object, out); err != nil {
			panic(err)
		}
		out.Close()
	}
}

func main() {
	if err := apiextensions.AddToScheme(scheme.Scheme); err != nil {
		panic(err)
	}
	if len(os.Args) > 1 {
		encode(os.Args[1:])
		return
	}
	all := table{number: map[reflect.Type]int{}}
	var roots []string
	known := scheme.Scheme.AllKnownTypes()
	var names []string
	kinds := map[string]reflect.Type{}
	for kind, of := range known {
		version := kind.GroupVersion().String()
		options := strings.HasSuffix(kind.Kind, "Options") && !(version == "v1" && kind.Kind == "DeleteOptions")
		if !served[version] || strings.HasSuffix(kind.Kind, "List") || options || kind.Kind == "WatchEvent" {
			continue
		}
		if _, ok := reflect.New(of).Interface().(runtime.Object); !ok {
			continue
		}
		name := version + " " + kind.Kind
		names, kinds[name] = append(names, name), of
	}
	sort.Strings(names)
	for _, name := range names {
		roots = append(roots, fmt.Sprintf("kind %s %d", name, all.of(kinds[name])))
	}
	out := os.Stdout
	fmt.Fprintln(out, "# Made by generate/main.go from the Go types of Kubernetes 1.34: do not edit.")
	for _, root := range roots {
		fmt.Fprintln(out, root)
	}
	for n := 0; n < len(all.types); n++ {
		shape := ""
		if either[all.types[n].Name()] {
			shape = " either"
		}
		fmt.Fprintf(out, "message %d %s%s\n", n, all.types[n].Name(), shape)
		for i := range all.types[n].NumField() {
			if line := all.field(all.types[n].Field(i)); line != "" {
				fmt.Fprintln(out, line)
			}
		}
	}
}
