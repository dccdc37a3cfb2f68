package main

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const nodeName = "spec.nodeName"

type kind struct {
	version    schema.GroupVersion
	name       string
	one, many  runtime.Object
	namespaced bool
}

var (
	kinds = []kind{
		{corev1.SchemeGroupVersion, "pod", &corev1.Pod{}, &corev1.PodList{}, true},
		{corev1.SchemeGroupVersion, "service", &corev1.Service{}, &corev1.ServiceList{}, true},
		{corev1.SchemeGroupVersion, "serviceaccount", &corev1.ServiceAccount{}, &corev1.ServiceAccountList{}, true},
		{corev1.SchemeGroupVersion, "node", &corev1.Node{}, &corev1.NodeList{}, false},
		{corev1.SchemeGroupVersion, "namespace", &corev1.Namespace{}, &corev1.NamespaceList{}, false},
		{discoveryv1.SchemeGroupVersion, "endpointslice", &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{}, true},
		{appsv1.SchemeGroupVersion, "deployment", &appsv1.Deployment{}, &appsv1.DeploymentList{}, true},
		{appsv1.SchemeGroupVersion, "replicaset", &appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{}, true},
		{batchv1.SchemeGroupVersion, "job", &batchv1.Job{}, &batchv1.JobList{}, true},
	}
	versions = []schema.GroupVersion{
		corev1.SchemeGroupVersion, discoveryv1.SchemeGroupVersion, appsv1.SchemeGroupVersion, batchv1.SchemeGroupVersion,
	}
	scheme = makeScheme()
	codecs = serializer.NewCodecFactory(scheme)
)

// makeScheme knows each kind in its public form, which is the internal one, too.
func makeScheme() *runtime.Scheme {
	made := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, discoveryv1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme,
	} {
		utilruntime.Must(add(made))
	}
	for _, one := range kinds {
		internal := schema.GroupVersion{Group: one.version.Group, Version: runtime.APIVersionInternal}
		made.AddKnownTypes(internal, one.one, one.many)
	}
	made.AddKnownTypes(schema.GroupVersion{Version: runtime.APIVersionInternal}, &corev1.Binding{})
	for _, version := range versions {
		utilruntime.Must(made.SetVersionPriority(version))
	}
	utilruntime.Must(made.AddFieldLabelConversionFunc(corev1.SchemeGroupVersion.WithKind("Pod"), podLabel))
	return made
}

func podLabel(label, value string) (string, string, error) {
	if label == nodeName {
		return label, value, nil
	}
	return runtime.DefaultMetaV1FieldSelectorConversion(label, value)
}

// copying writes a copy of each object: one that needs no conversion would be changed where the watch cache keeps it.
type copying struct{ runtime.NegotiatedSerializer }

func (copying) EncoderForVersion(encoder runtime.Encoder, version runtime.GroupVersioner) runtime.Encoder {
	return versioning.NewCodec(encoder, nil, scheme, scheme, scheme, nil, version, nil, scheme.Name())
}

func install(made *server.GenericAPIServer, getter generic.RESTOptionsGetter) error {
	for _, version := range versions {
		group := server.NewDefaultAPIGroupInfo(version.Group, scheme, metav1.ParameterCodec, codecs)
		group.NegotiatedSerializer = copying{group.NegotiatedSerializer}
		stores := map[string]rest.Storage{}
		for _, one := range kinds {
			if one.version == version {
				if err := addStores(stores, one, getter); err != nil {
					return err
				}
			}
		}
		group.VersionedResourcesStorageMap[version.Version] = stores
		if version.Group == "" {
			if err := made.InstallLegacyAPIGroup("/api", &group); err != nil {
				return err
			}
		} else if err := made.InstallAPIGroup(&group); err != nil {
			return err
		}
	}
	return nil
}

func addStores(stores map[string]rest.Storage, one kind, getter generic.RESTOptionsGetter) error {
	rules := strategy{scheme, names.SimpleNameGenerator, one.namespaced}
	store := &registry.Store{
		NewFunc:                   func() runtime.Object { return empty(one.one) },
		NewListFunc:               func() runtime.Object { return empty(one.many) },
		PredicateFunc:             match,
		DefaultQualifiedResource:  schema.GroupResource{Group: one.version.Group, Resource: one.name + "s"},
		SingularQualifiedResource: schema.GroupResource{Group: one.version.Group, Resource: one.name},
		CreateStrategy:            rules, UpdateStrategy: rules, DeleteStrategy: rules,
		TableConvertor: rest.NewDefaultTableConvertor(schema.GroupResource{Group: one.version.Group, Resource: one.name + "s"}),
	}
	chosen := &generic.StoreOptions{RESTOptions: getter, AttrFunc: attributes}
	if one.name == "pod" { // as kube-apiserver does it for kubelets
		chosen.TriggerFunc = storage.IndexerFuncs{nodeName: nodeOf}
		chosen.Indexers = &cache.Indexers{storage.FieldIndex(nodeName): func(obj any) ([]string, error) {
			return []string{nodeOf(obj.(runtime.Object))}, nil
		}}
		stores["pods/binding"] = &binding{store}
	}
	if err := store.CompleteWithOptions(chosen); err != nil {
		return err
	}
	stores[one.name+"s"], stores[one.name+"s/status"] = store, &status{store}
	return nil
}

func empty(one runtime.Object) runtime.Object {
	return reflect.New(reflect.TypeOf(one).Elem()).Interface().(runtime.Object)
}

func nodeOf(object runtime.Object) string { return object.(*corev1.Pod).Spec.NodeName }

func attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	found, err := meta.Accessor(object)
	if err != nil {
		return nil, nil, err
	}
	chosen := fields.Set{"metadata.name": found.GetName(), "metadata.namespace": found.GetNamespace()}
	if pod, is := object.(*corev1.Pod); is {
		chosen[nodeName] = pod.Spec.NodeName
	}
	return found.GetLabels(), chosen, nil
}

func match(label labels.Selector, fields fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{Label: label, Field: fields, GetAttrs: attributes, IndexFields: []string{nodeName}}
}

// describe says of every type that it is an object with whatever fields: who owns which field is told by the values.
func describe(common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	found := map[string]common.OpenAPIDefinition{}
	for version, known := range scheme.AllKnownTypes() {
		if version.Version == runtime.APIVersionInternal {
			continue
		}
		loose := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
		loose.AddExtension("x-kubernetes-preserve-unknown-fields", true)
		found[util.GetCanonicalTypeName(reflect.New(known).Interface())] = common.OpenAPIDefinition{Schema: loose}
	}
	return found
}
