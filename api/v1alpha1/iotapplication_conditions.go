// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of an IoTApplication, beside Ready, Reconciling and Stalled, which follow kstatus here, too.
const (
	// ConditionConnected is true while the platform answers and takes the credentials.
	ConditionConnected = "Connected"
	// ConditionSubscribed is true when the callback is subscribed to every type of spec.notifications.
	ConditionSubscribed = "Subscribed"
	// ConditionReceiving is false when results had to be asked for and none came by push.
	ConditionReceiving = "Receiving"
)

// Reasons of the conditions of an IoTApplication.
const (
	// ReasonTokenValid means that the platform answers and takes the token.
	ReasonTokenValid = "TokenValid"
	// ReasonConnecting means that nothing was heard of the platform yet.
	ReasonConnecting = "Connecting"
	// ReasonSuspended means that spec.suspend is set.
	ReasonSuspended = "Suspended"
	// ReasonWrongCredentials means that the platform does not take the application's secret.
	ReasonWrongCredentials = "WrongCredentials"
	// ReasonTokenContended means that somebody else logs in with this application, which ends the operator's token again
	// and again.
	ReasonTokenContended = "TokenContended"
	// ReasonThrottled means that the platform refuses calls because there were too many.
	ReasonThrottled = "Throttled"
	// ReasonUnreachable means that the platform can't be reached, or answers with errors.
	ReasonUnreachable = "Unreachable"
	// ReasonEndpointNotAllowed means that --platform-hosts does not list the endpoint.
	ReasonEndpointNotAllowed = "EndpointNotAllowed"
	// ReasonInvalidSpec means that no connection can be made of the spec.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonSecretNotFound means that a Secret is missing in the operator's namespace, or may not be read.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid means that a Secret lacks a key, or that what is under it can't be used.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonCertificateInvalid means that the platform's certificate can't be trusted, or the client certificate not
	// used.
	ReasonCertificateInvalid = "CertificateInvalid"
	// ReasonDuplicateApplication means that an older IoTApplication has the same appId.
	ReasonDuplicateApplication = "DuplicateApplication"
	// ReasonVerified means that the platform lists the subscriptions.
	ReasonVerified = "Verified"
	// ReasonAccepted means that the platform took the subscriptions and can't list them.
	ReasonAccepted = "Accepted"
	// ReasonNotManaged means that spec.notifications is empty, so that subscriptions are left alone.
	ReasonNotManaged = "NotManaged"
	// ReasonCallbackRefused means that the platform does not take the callback's URL.
	ReasonCallbackRefused = "CallbackRefused"
	// ReasonOtherURL means that the platform pushes to another URL, and did not take this one.
	ReasonOtherURL = "OtherURL"
	// ReasonCallFailed means that the platform refuses or fails the call that lists or makes subscriptions, while it
	// answers others.
	ReasonCallFailed = "CallFailed"
	// ReasonPushesArrive means that results come by push.
	ReasonPushesArrive = "PushesArrive"
	// ReasonNothingRuns means that no result was to come.
	ReasonNothingRuns = "NothingRuns"
	// ReasonPushesMissing means that many results had to be asked for, or some over a quarter of an hour, and none came by
	// push meanwhile.
	ReasonPushesMissing = "PushesMissing"
)

// ConditionSynced is, of a FirmwareUpgrade whose application is connected, whether the counts equal the platform's own
// figures.
const ConditionSynced = "Synced"

// Reasons of the condition Synced.
const (
	// ReasonCountsEqual means that the counts equal the platform's figures.
	ReasonCountsEqual = "CountsEqual"
	// ReasonRepairing means that the platform counts more, and that the operator asks for these results.
	ReasonRepairing = "Repairing"
	// ReasonDrift means that the counts differ and that asking did not help.
	ReasonDrift = "Drift"
	// ReasonPlatformUnreachable means that the platform's figures can't be had.
	ReasonPlatformUnreachable = "PlatformUnreachable"
	// ReasonNoApplication means that no IoTApplication connects the application of the task.
	ReasonNoApplication = "NoApplication"
	// ReasonTaskUnknown means that the platform does not know the task.
	ReasonTaskUnknown = "TaskUnknown"
)
