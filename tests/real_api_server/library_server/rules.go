package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
)

// strategy takes every object as it is, but for the few defaults that clients see.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	namespaced bool
}

func (s strategy) NamespaceScoped() bool { return s.namespaced }

func (strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	switch one := object.(type) {
	case *corev1.Pod:
		one.Status = corev1.PodStatus{Phase: corev1.PodPending}
	case *corev1.Service:
		if one.Spec.Type == "" {
			one.Spec.Type = corev1.ServiceTypeClusterIP
		}
		for place := range one.Spec.Ports {
			if one.Spec.Ports[place].Protocol == "" {
				one.Spec.Ports[place].Protocol = corev1.ProtocolTCP
			}
		}
	}
}

func (strategy) Validate(context.Context, runtime.Object) field.ErrorList         { return nil }
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string        { return nil }
func (strategy) Canonicalize(runtime.Object)                                      {}
func (strategy) AllowCreateOnUpdate() bool                                        { return false }
func (strategy) AllowUnconditionalUpdate() bool                                   { return true }
func (strategy) PrepareForUpdate(context.Context, runtime.Object, runtime.Object) {}
func (strategy) ValidateUpdate(context.Context, runtime.Object, runtime.Object) field.ErrorList {
	return nil
}
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// CheckGracefulDelete marks a pod that a node runs, until its kubelet deletes it with no grace.
func (strategy) CheckGracefulDelete(_ context.Context, object runtime.Object, chosen *metav1.DeleteOptions) bool {
	pod, is := object.(*corev1.Pod)
	if !is {
		return false
	}
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if chosen.GracePeriodSeconds != nil {
		grace = *chosen.GracePeriodSeconds
	} else if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.Spec.NodeName == "" || over {
		grace = 0
	}
	chosen.GracePeriodSeconds = &grace
	return true
}

// status lets kubelets write theirs.
type status struct{ store *registry.Store }

func (s *status) New() runtime.Object { return s.store.New() }
func (s *status) Destroy()            {}

func (s *status) Get(ctx context.Context, name string, chosen *metav1.GetOptions) (runtime.Object, error) {
	return s.store.Get(ctx, name, chosen)
}

func (s *status) Update(
	ctx context.Context, name string, object rest.UpdatedObjectInfo, onCreate rest.ValidateObjectFunc,
	onUpdate rest.ValidateObjectUpdateFunc, _ bool, chosen *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, object, onCreate, onUpdate, false, chosen)
}

// binding lets schedulers place a pod.
type binding struct{ store *registry.Store }

func (b *binding) New() runtime.Object { return &corev1.Binding{} }
func (b *binding) Destroy()            {}

func (b *binding) Create(
	ctx context.Context, name string, object runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions,
) (runtime.Object, error) {
	place := func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		pod := old.DeepCopyObject().(*corev1.Pod)
		pod.Spec.NodeName = object.(*corev1.Binding).Target.Name
		return pod, nil
	}
	placed := rest.DefaultUpdatedObjectInfo(nil, place)
	_, _, err := b.store.Update(ctx, name, placed, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return &metav1.Status{Status: metav1.StatusSuccess}, err
}
