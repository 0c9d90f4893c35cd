// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IoTApplication connects an application of the IoT platform: the operator subscribes the callback for it, compares the
// tasks that FirmwareUpgrades follow with the platform's own figures, and asks for the results that never came. It
// creates tasks where spec.tasks says so. Its secrets are read in the operator's namespace only.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=iotapplications,scope=Cluster,shortName=iotapp,categories=fwupgrade
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=.spec.appId
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].status
// +kubebuilder:printcolumn:name="Connected",type=string,JSONPath=.status.conditions[?(@.type=="Connected")].status
// +kubebuilder:printcolumn:name="Subscribed",type=string,JSONPath=.status.conditions[?(@.type=="Subscribed")].status
// +kubebuilder:printcolumn:name="Receiving",type=string,JSONPath=.status.conditions[?(@.type=="Receiving")].status
// +kubebuilder:printcolumn:name="Tasks",type=string,JSONPath=.spec.tasks
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=.status.reason
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=.spec.northbound.endpoint,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=.status.conditions[?(@.type=="Ready")].message,priority=1
type IoTApplication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which application it is, where the platform is, and what the operator does there.
	// +required
	Spec IoTApplicationSpec `json:"spec"`

	// status is what became of the connection. Written by the operator alone.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status IoTApplicationStatus `json:"status,omitzero"`
}

// IoTApplicationSpec says which application it is, where the platform is, and what the operator does there.
type IoTApplicationSpec struct {
	// appId is the application's id on the platform, as every notification carries it: 1 to 256 bytes, without control or
	// invisible characters and without blanks at the ends. Immutable. Where two IoTApplications have the same, the older
	// one connects.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="appId is longer than 256 bytes: no notification can carry it"
	// +kubebuilder:validation:XValidation:rule="self.trim() == self",message="appId has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	// +kubebuilder:validation:XValidation:rule=`self.trim().matches(r'^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$') && !self.matches('[\ufffd\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]')`,message="appId holds a control character or an invisible one, or U+FFFD in place of one: type it anew, as copying brings such characters along"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="appId is immutable: for another application create an IoTApplication with another name"
	AppID string `json:"appId"`

	// namespaces may have tasks created where tasks is Create, and may claim the application's tasks where the operator
	// runs with --require-application. Empty: none. At most 64.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	// tasks says whether the operator creates the tasks that FirmwareUpgrades of these namespaces ask for with spec.task.
	// Observe, the default, creates none.
	// +optional
	// +kubebuilder:default=Observe
	Tasks TaskCreation `json:"tasks,omitempty"`

	// northbound is how the platform's northbound API (generation A: /iocm and /iodm) is reached.
	// +required
	Northbound Northbound `json:"northbound"`

	// notifications are the types that the operator keeps subscribed to the callback, at most 2: results, and the steps
	// before them. Default: results. An empty list leaves the subscriptions alone.
	// +optional
	// +listType=set
	// +kubebuilder:default={"fwUpgradeResultNotify"}
	// +kubebuilder:validation:MaxItems=2
	Notifications []Notification `json:"notifications"`

	// callsPerMinute is how many calls the operator makes in any minute at most. The platform refuses those above its own
	// limit, which is 100 for an application unless it was raised: leave some for others. 1 to 6,000, default 60.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=6000
	CallsPerMinute int32 `json:"callsPerMinute,omitempty"`

	// suspend stops all calls: nothing is compared, asked for or created.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// TaskCreation says whether tasks are created.
//
// +kubebuilder:validation:Enum=Observe;Create
type TaskCreation string

const (
	// TasksObserve means that no task is created.
	TasksObserve TaskCreation = "Observe"
	// TasksCreate means that tasks are created.
	TasksCreate TaskCreation = "Create"
)

// Notification is a type of notifications of the platform that the operator reads.
//
// +kubebuilder:validation:Enum=fwUpgradeResultNotify;fwUpgradeStateChangeNotify
type Notification string

const (
	// NotificationResult is pushed when a device's upgrade has ended.
	NotificationResult Notification = "fwUpgradeResultNotify"
	// NotificationStateChange is pushed with each step before that.
	NotificationStateChange Notification = "fwUpgradeStateChangeNotify"
)

// Northbound is how the platform's northbound API is reached.
type Northbound struct {
	// endpoint is https://host or https://host:port, without a path. --platform-hosts must list it.
	// +required
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?)(:[0-9]{1,5})?$')`,message="endpoint is https://host or https://host:port, with nothing before or behind: no user, no path, no slash at the end"
	Endpoint string `json:"endpoint"`

	// credentialsRef names a Secret in the operator's namespace with the application's secret under the key secret, and
	// the whole callback URL, its own secret included, under the key callback-url.
	// +required
	CredentialsRef SecretReference `json:"credentialsRef"`

	// tlsRef names a Secret in the operator's namespace: with tls.crt and tls.key the operator shows this client
	// certificate, as port 8743 of the platform asks for one; with ca.crt it trusts these authorities and no others.
	// +optional
	TLSRef *SecretReference `json:"tlsRef,omitempty"`

	// serverName is the host that the platform's certificate names, where that is another one than the endpoint's.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$`
	ServerName string `json:"serverName,omitempty"`

	// callbackKey is how the platform spells the key of the callback in a subscription: callbackUrl by its
	// documentation, callbackurl in its SDKs. Default callbackUrl.
	// +optional
	// +kubebuilder:default=callbackUrl
	CallbackKey CallbackKey `json:"callbackKey,omitempty"`
}

// CallbackKey is the key of the callback's URL in a subscription.
//
// +kubebuilder:validation:Enum=callbackUrl;callbackurl
type CallbackKey string

const (
	// CallbackKeyDocumented is the key in the platform's documentation.
	CallbackKeyDocumented CallbackKey = "callbackUrl"
	// CallbackKeyOfSDKs is the key that the platform's SDKs send.
	CallbackKeyOfSDKs CallbackKey = "callbackurl"
)

// SecretReference names a Secret in the operator's namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

// IoTApplicationStatus is what became of the connection.
type IoTApplicationStatus struct {
	// observedGeneration is the metadata.generation this status was computed from; -1 before the operator has seen the
	// object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// reason is what is wrong, as the conditions have it; empty where nothing is.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	Reason string `json:"reason,omitempty"`

	// subscriptions are those that the operator has seen on the platform, or made there.
	// +optional
	// +listType=map
	// +listMapKey=notification
	// +kubebuilder:validation:MaxItems=2
	Subscriptions []SubscriptionStatus `json:"subscriptions,omitempty"`

	// search says that the platform's list was seen to show a task of devices that the operator had just created: only
	// then it means something that the list does not show one.
	// +optional
	Search *SearchStatus `json:"search,omitempty"`

	// groupSearch says the same of tasks of groups, for which the platform is searched in another way.
	// +optional
	GroupSearch *SearchStatus `json:"groupSearch,omitempty"`

	// announced says which of the conditions was told by an Event: the reason of one that is not True, or True, by the
	// condition's type. For the operator's own use.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Announced map[string]string `json:"announced,omitempty"`

	// eventsTold is how many Events were told, which makes the name of the next one. For the operator's own use.
	// +optional
	EventsTold int64 `json:"eventsTold,omitempty"`

	// conditions are Ready, Reconciling, Stalled, Connected, Subscribed and Receiving.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SearchStatus says when the platform's list was seen to show what was created.
type SearchStatus struct {
	// endpoint is where that was: at another one it says nothing.
	Endpoint string `json:"endpoint"`
	// verifiedTime is when that was.
	VerifiedTime metav1.Time `json:"verifiedTime"`
	// lagSeconds is how long after its creation the task was seen, at most.
	LagSeconds int64 `json:"lagSeconds"`
}

// SubscriptionStatus is a subscription of the callback on the platform.
type SubscriptionStatus struct {
	// notification is the type that is pushed.
	Notification Notification `json:"notification"`
	// verifiedTime is when it was seen, or accepted, last.
	VerifiedTime metav1.Time `json:"verifiedTime"`
	// secretVersion is the resourceVersion of the Secret whose callback-url was subscribed. No digest of it, against
	// which somebody could guess.
	// +kubebuilder:validation:MaxLength=64
	SecretVersion string `json:"secretVersion"`
}

// IoTApplicationList is a list of IoTApplications.
//
// +kubebuilder:object:root=true
type IoTApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IoTApplication `json:"items"`
}
