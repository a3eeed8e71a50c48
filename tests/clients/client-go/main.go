// Client-go does to an API what controllers do: informers, leader election, retries of conflicts,
// server-side apply, protobuf, the dynamic and the metadata client.
//
//	client-go KUBECONFIG
//
// prints a line for everything that works and ends with 1 at the first that does not. The server has
// the kind Widget (example.com/v1).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
)

// session is what every step uses.
type session struct {
	ctx    context.Context
	config *rest.Config
	client *kubernetes.Clientset
}

const namespace = "client-go"

var widgets = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}

var steps = []struct {
	name string
	run  func(*session) error
}{
	{"a namespace and its account", namespaces},
	{"typed objects in protobuf", protobuf},
	{"an informer", informer},
	{"a dynamic informer", dynamicInformer},
	{"the dynamic client", dynamicClient},
	{"the metadata client", metadataClient},
	{"conflicts are retried", conflicts},
	{"server-side apply", apply},
	{"leader election", election},
	{"pages", pages},
	{"deletion with dependents and finalizers", deletion},
	{"events", events},
	{"discovery and its mapping", discovery},
	{"a namespace is emptied", emptied},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: client-go KUBECONFIG")
		os.Exit(2)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	config.QPS, config.Burst = 1000, 1000
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := &session{ctx: ctx, config: config, client: kubernetes.NewForConfigOrDie(config)}
	for _, step := range steps {
		if err := step.run(s); err != nil {
			fmt.Printf("failed: %s: %v\n", step.name, err)
			os.Exit(1)
		}
		fmt.Println("ok:", step.name)
	}
}

// until polls, for at most half a minute.
func (s *session) until(what string, done func() (bool, error)) error {
	err := wait.PollUntilContextTimeout(s.ctx, 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		return done()
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

func expect[T comparable](what string, found, wanted T) error {
	if found != wanted {
		return fmt.Errorf("%s: expected %v, found %v", what, wanted, found)
	}
	return nil
}

func namespaces(s *session) error {
	space := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}
	if _, err := s.client.CoreV1().Namespaces().Create(s.ctx, space, meta.CreateOptions{}); err != nil {
		return err
	}
	return s.until("the default account", func() (bool, error) {
		_, err := s.client.CoreV1().ServiceAccounts(namespace).Get(s.ctx, "default", meta.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
}

func labels() map[string]string { return map[string]string{"app": "web"} }

func pod() core.PodSpec {
	return core.PodSpec{Containers: []core.Container{{
		Name: "web", Image: "web:1", Env: []core.EnvVar{{Name: "A", Value: "1"}},
		Ports:          []core.ContainerPort{{ContainerPort: 80}},
		ReadinessProbe: &core.Probe{ProbeHandler: core.ProbeHandler{HTTPGet: &core.HTTPGetAction{Port: intstr.FromInt32(80)}}},
	}}}
}

func protobuf(s *session) error {
	config := rest.CopyConfig(s.config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	two := int32(2)
	deployment := &apps.Deployment{
		ObjectMeta: meta.ObjectMeta{Name: "web", Labels: labels()},
		Spec: apps.DeploymentSpec{
			Replicas: &two, Selector: &meta.LabelSelector{MatchLabels: labels()},
			Template: core.PodTemplateSpec{ObjectMeta: meta.ObjectMeta{Labels: labels()}, Spec: pod()},
		},
	}
	made, err := client.AppsV1().Deployments(namespace).Create(s.ctx, deployment, meta.CreateOptions{})
	if err != nil {
		return err
	}
	container := made.Spec.Template.Spec.Containers[0]
	if err := errors.Join(
		expect("replicas", *made.Spec.Replicas, 2),
		expect("a default", container.Ports[0].Protocol, core.ProtocolTCP),
		expect("a probe", container.ReadinessProbe.HTTPGet.Port.IntValue(), 80),
		expect("generation", made.Generation, 1),
	); err != nil {
		return err
	}
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{GenerateName: "s-"}, Data: map[string][]byte{"k": {0, 1, 255}}}
	kept, err := client.CoreV1().Secrets(namespace).Create(s.ctx, secret, meta.CreateOptions{})
	if err != nil {
		return err
	}
	read, err := client.CoreV1().Secrets(namespace).Get(s.ctx, kept.Name, meta.GetOptions{})
	if err != nil {
		return err
	}
	if err := expect("bytes", string(read.Data["k"]), "\x00\x01\xff"); err != nil {
		return err
	}
	_, err = client.CoreV1().Secrets(namespace).Create(s.ctx, kept, meta.CreateOptions{})
	if err == nil || !apierrors.IsInvalid(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsBadRequest(err) && !apierrors.IsInternalError(err) {
		return fmt.Errorf("an object with a resource version was created again: %v", err)
	}
	scale, err := client.AppsV1().Deployments(namespace).GetScale(s.ctx, "web", meta.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 3
	scale, err = client.AppsV1().Deployments(namespace).UpdateScale(s.ctx, "web", scale, meta.UpdateOptions{})
	if err != nil {
		return err
	}
	return expect("scale", scale.Spec.Replicas, 3)
}

// counts what an informer tells.
type counts struct{ added, updated, deleted atomic.Int32 }

func (c *counts) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.added.Add(1) },
		UpdateFunc: func(any, any) { c.updated.Add(1) },
		DeleteFunc: func(any) { c.deleted.Add(1) },
	}
}

func configMap(name, value string) *core.ConfigMap {
	return &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"of": "informer"}}, Data: map[string]string{"v": value}}
}

func informer(s *session) error {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	for i := range 3 {
		if _, err := maps.Create(s.ctx, configMap(fmt.Sprintf("before-%d", i), "1"), meta.CreateOptions{}); err != nil {
			return err
		}
	}
	only := informers.WithTweakListOptions(func(o *meta.ListOptions) { o.LabelSelector = "of=informer" })
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithNamespace(namespace), only)
	told := &counts{}
	informer := factory.Core().V1().ConfigMaps().Informer()
	if _, err := informer.AddEventHandler(told.handler()); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the informer does not sync")
	}
	for i := range 20 {
		name := fmt.Sprintf("cm-%d", i)
		if _, err := maps.Create(ctx, configMap(name, "1"), meta.CreateOptions{}); err != nil {
			return err
		}
		if _, err := maps.Update(ctx, configMap(name, "2"), meta.UpdateOptions{}); err != nil {
			return err
		}
		// Nothing changes, so nobody is told.
		if _, err := maps.Update(ctx, configMap(name, "2"), meta.UpdateOptions{}); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := maps.Delete(ctx, name, meta.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	if err := s.until("all events", func() (bool, error) {
		return told.added.Load() == 23 && told.updated.Load() == 20 && told.deleted.Load() == 10, nil
	}); err != nil {
		return fmt.Errorf("%w: %d added, %d updated, %d deleted", err, told.added.Load(), told.updated.Load(), told.deleted.Load())
	}
	return expect("objects in the cache", len(informer.GetStore().List()), 13)
}

func widget(name string, size string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"size": size},
	}}
}

func dynamicInformer(s *session) error {
	client := dynamic.NewForConfigOrDie(s.config)
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	told := &counts{}
	informer := factory.ForResource(widgets).Informer()
	if _, err := informer.AddEventHandler(told.handler()); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the informer does not sync")
	}
	if _, err := client.Resource(widgets).Namespace(namespace).Create(ctx, widget("seen", "large"), meta.CreateOptions{}); err != nil {
		return err
	}
	if err := client.Resource(widgets).Namespace(namespace).Delete(ctx, "seen", meta.DeleteOptions{}); err != nil {
		return err
	}
	return s.until("both events", func() (bool, error) { return told.added.Load() == 1 && told.deleted.Load() == 1, nil })
}

func dynamicClient(s *session) error {
	client := dynamic.NewForConfigOrDie(s.config).Resource(widgets).Namespace(namespace)
	watching, err := client.Watch(s.ctx, meta.ListOptions{FieldSelector: "metadata.name=w"})
	if err != nil {
		return err
	}
	defer watching.Stop()
	made, err := client.Create(s.ctx, widget("w", "large"), meta.CreateOptions{})
	if err != nil {
		return err
	}
	if _, err = client.Create(s.ctx, widget("x", "huge"), meta.CreateOptions{}); !apierrors.IsInvalid(err) {
		return fmt.Errorf("a size that is none: %v", err)
	}
	patch := []byte(`{"spec":{"size":"small"}}`)
	if _, err = client.Patch(s.ctx, "w", types.MergePatchType, patch, meta.PatchOptions{}); err != nil {
		return err
	}
	if _, err = client.Patch(s.ctx, "w", types.StrategicMergePatchType, patch, meta.PatchOptions{}); !apierrors.IsUnsupportedMediaType(err) {
		return fmt.Errorf("a strategic patch of a custom kind: %v", err)
	}
	status := made.DeepCopy()
	status.SetResourceVersion("")
	if err := unstructured.SetNestedField(status.Object, "Ready", "status", "phase"); err != nil {
		return err
	}
	status, err = client.Patch(s.ctx, "w", types.MergePatchType, []byte(`{"status":{"phase":"Ready"},"spec":{"size":"large"}}`), meta.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	phase, _, _ := unstructured.NestedString(status.Object, "status", "phase")
	size, _, _ := unstructured.NestedString(status.Object, "spec", "size")
	if err := errors.Join(expect("status", phase, "Ready"), expect("what the status does not change", size, "small"), expect("generation", status.GetGeneration(), 2)); err != nil {
		return err
	}
	if err := client.Delete(s.ctx, "w", meta.DeleteOptions{}); err != nil {
		return err
	}
	for _, wanted := range []watch.EventType{watch.Added, watch.Modified, watch.Modified, watch.Deleted} {
		select {
		case event := <-watching.ResultChan():
			if err := expect("event", event.Type, wanted); err != nil {
				return err
			}
		case <-time.After(10 * time.Second):
			return fmt.Errorf("no %s after ten seconds", wanted)
		}
	}
	return nil
}

func metadataClient(s *session) error {
	client, err := metadata.NewForConfig(s.config)
	if err != nil {
		return err
	}
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	list, err := client.Resource(maps).Namespace(namespace).List(s.ctx, meta.ListOptions{LabelSelector: "of=informer"})
	if err != nil {
		return err
	}
	return errors.Join(expect("objects", len(list.Items), 13), expect("kind", list.Items[0].Kind, "PartialObjectMetadata"))
}

func conflicts(s *session) error {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Create(s.ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "counter"}, Data: map[string]string{"n": "0"}}, meta.CreateOptions{}); err != nil {
		return err
	}
	const writers, each = 8, 10
	var group sync.WaitGroup
	failures := make(chan error, writers*each)
	for range writers {
		group.Go(func() {
			for range each {
				failures <- retry.RetryOnConflict(wait.Backoff{Steps: 200, Duration: time.Millisecond, Jitter: 1}, func() error {
					counter, err := maps.Get(s.ctx, "counter", meta.GetOptions{})
					if err != nil {
						return err
					}
					n, _ := strconv.Atoi(counter.Data["n"])
					counter.Data["n"] = strconv.Itoa(n + 1)
					_, err = maps.Update(s.ctx, counter, meta.UpdateOptions{})
					return err
				})
			}
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	counter, err := maps.Get(s.ctx, "counter", meta.GetOptions{})
	if err != nil {
		return err
	}
	return expect("count", counter.Data["n"], strconv.Itoa(writers*each))
}

func apply(s *session) error {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	one := meta.ApplyOptions{FieldManager: "one"}
	first := applycore.ConfigMap("applied", namespace).WithData(map[string]string{"a": "1", "b": "1"})
	if _, err := maps.Apply(s.ctx, first, one); err != nil {
		return err
	}
	second := applycore.ConfigMap("applied", namespace).WithData(map[string]string{"b": "2"})
	_, err := maps.Apply(s.ctx, second, meta.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("another's field was applied: %v", err)
	}
	if _, err = maps.Apply(s.ctx, second, meta.ApplyOptions{FieldManager: "two", Force: true}); err != nil {
		return err
	}
	last, err := maps.Apply(s.ctx, applycore.ConfigMap("applied", namespace), one)
	if err != nil {
		return err
	}
	if err := errors.Join(expect("fields", len(last.Data), 1), expect("b", last.Data["b"], "2")); err != nil {
		return err
	}
	// What was applied can be read back, changed and applied again.
	deployments := s.client.AppsV1().Deployments(namespace)
	config := applyapps.Deployment("applied", namespace).WithSpec(applyapps.DeploymentSpec().WithReplicas(1).
		WithSelector(applymeta.LabelSelector().WithMatchLabels(labels())).
		WithTemplate(applycore.PodTemplateSpec().WithLabels(labels()).WithSpec(
			applycore.PodSpec().WithContainers(applycore.Container().WithName("a").WithImage("a:1")))))
	live, err := deployments.Apply(s.ctx, config, one)
	if err != nil {
		return err
	}
	mine, err := applyapps.ExtractDeployment(live, "one")
	if err != nil {
		return err
	}
	mine.Spec.Template.Spec.WithContainers(applycore.Container().WithName("b").WithImage("b:1"))
	live, err = deployments.Apply(s.ctx, mine, one)
	if err != nil {
		return err
	}
	if err := expect("containers", len(live.Spec.Template.Spec.Containers), 2); err != nil {
		return err
	}
	again, err := deployments.Apply(s.ctx, mine, one)
	if err != nil {
		return err
	}
	return expect("the version after applying the same", again.ResourceVersion, live.ResourceVersion)
}

func election(s *session) error {
	leads := make(chan string, 10)
	candidate := func(name string) (context.CancelFunc, <-chan struct{}) {
		ctx, stop := context.WithCancel(s.ctx)
		ended := make(chan struct{})
		lock := &resourcelock.LeaseLock{
			LeaseMeta: meta.ObjectMeta{Namespace: namespace, Name: "leader"}, Client: s.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		go func() {
			defer close(ended)
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
				Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
				ReleaseOnCancel: true,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) { leads <- name }, OnStoppedLeading: func() {},
				},
			})
		}()
		return stop, ended
	}
	next := func(wanted string) error {
		select {
		case name := <-leads:
			return expect("leader", name, wanted)
		case <-time.After(20 * time.Second):
			return fmt.Errorf("%s does not lead after twenty seconds", wanted)
		}
	}
	stopOne, endedOne := candidate("one")
	defer stopOne()
	if err := next("one"); err != nil {
		return err
	}
	stopTwo, _ := candidate("two")
	defer stopTwo()
	select {
	case name := <-leads:
		return fmt.Errorf("%s leads beside one", name)
	case <-time.After(500 * time.Millisecond):
	}
	stopOne()
	<-endedOne
	return next("two")
}

func pages(s *session) error {
	asked := 0
	p := pager.New(func(ctx context.Context, options meta.ListOptions) (runtime.Object, error) {
		asked++
		return s.client.CoreV1().ConfigMaps(namespace).List(ctx, options)
	})
	p.PageSize = 4
	found := 0
	err := p.EachListItem(s.ctx, meta.ListOptions{LabelSelector: "of=informer"}, func(runtime.Object) error {
		found++
		return nil
	})
	return errors.Join(err, expect("objects", found, 13), expect("pages", asked, 4))
}

func deletion(s *session) error {
	maps := s.client.CoreV1().ConfigMaps(namespace)
	owner, err := maps.Create(s.ctx, &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "owner"}}, meta.CreateOptions{})
	if err != nil {
		return err
	}
	blocks := true
	dependent := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "dependent", Finalizers: []string{"example.com/wait"}, OwnerReferences: []meta.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID, BlockOwnerDeletion: &blocks,
	}}}}
	if _, err := maps.Create(s.ctx, dependent, meta.CreateOptions{}); err != nil {
		return err
	}
	wrong := types.UID("00000000-0000-0000-0000-000000000000")
	err = maps.Delete(s.ctx, "owner", meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &wrong}})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("deleted under another uid: %v", err)
	}
	foreground := meta.DeletePropagationForeground
	if err := maps.Delete(s.ctx, "owner", meta.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	if err := s.until("the dependent to be deleted", func() (bool, error) {
		object, err := maps.Get(s.ctx, "dependent", meta.GetOptions{})
		return err == nil && object.DeletionTimestamp != nil, err
	}); err != nil {
		return err
	}
	if _, err := maps.Get(s.ctx, "owner", meta.GetOptions{}); err != nil {
		return fmt.Errorf("the owner does not wait for its dependent: %w", err)
	}
	if _, err := maps.Patch(s.ctx, "dependent", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), meta.PatchOptions{}); err != nil {
		return err
	}
	if err := s.until("both to be gone", func() (bool, error) {
		_, one := maps.Get(s.ctx, "owner", meta.GetOptions{})
		_, other := maps.Get(s.ctx, "dependent", meta.GetOptions{})
		return apierrors.IsNotFound(one) && apierrors.IsNotFound(other), nil
	}); err != nil {
		return err
	}
	if err := maps.DeleteCollection(s.ctx, meta.DeleteOptions{}, meta.ListOptions{LabelSelector: "of=informer"}); err != nil {
		return err
	}
	left, err := maps.List(s.ctx, meta.ListOptions{LabelSelector: "of=informer"})
	if err != nil {
		return err
	}
	return expect("objects left", len(left.Items), 0)
}

func events(s *session) error {
	about, err := s.client.CoreV1().ConfigMaps(namespace).Get(s.ctx, "counter", meta.GetOptions{})
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&eventSink{s})
	recorder := broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: "client-go"})
	recorder.Event(about, core.EventTypeNormal, "Counted", "it was counted")
	recorder.Event(about, core.EventTypeNormal, "Counted", "it was counted")
	return s.until("an event told twice", func() (bool, error) {
		found, err := s.client.CoreV1().Events(namespace).Search(scheme.Scheme, about)
		return err == nil && len(found.Items) == 1 && found.Items[0].Count == 2, err
	})
}

// eventSink writes events through the ordinary client.
type eventSink struct{ *session }

func (e *eventSink) Create(event *core.Event) (*core.Event, error) {
	return e.client.CoreV1().Events(event.Namespace).CreateWithEventNamespaceWithContext(e.ctx, event)
}

func (e *eventSink) Update(event *core.Event) (*core.Event, error) {
	return e.client.CoreV1().Events(event.Namespace).UpdateWithEventNamespaceWithContext(e.ctx, event)
}

func (e *eventSink) Patch(event *core.Event, patch []byte) (*core.Event, error) {
	return e.client.CoreV1().Events(event.Namespace).PatchWithEventNamespaceWithContext(e.ctx, event, patch)
}

func discovery(s *session) error {
	groups, err := restmapper.GetAPIGroupResources(s.client.Discovery())
	if err != nil {
		return err
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "example.com", Kind: "Widget"})
	if err != nil {
		return err
	}
	if _, err := s.client.Discovery().ServerPreferredResources(); err != nil {
		return err
	}
	paths, err := s.client.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	document, err := paths["apis/example.com/v1"].Schema("application/json")
	if err != nil {
		return err
	}
	if _, err := s.client.Discovery().OpenAPISchema(); err != nil {
		return fmt.Errorf("OpenAPI 2: %w", err)
	}
	return errors.Join(expect("resource", mapping.Resource, widgets), expect("a document", len(document) > 0, true))
}

func emptied(s *session) error {
	if err := s.client.CoreV1().Namespaces().Delete(s.ctx, namespace, meta.DeleteOptions{}); err != nil {
		return err
	}
	return s.until("the namespace to be gone", func() (bool, error) {
		_, err := s.client.CoreV1().Namespaces().Get(s.ctx, namespace, meta.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}
