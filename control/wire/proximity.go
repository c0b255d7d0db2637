// SPDX-License-Identifier: Apache-2.0

package wire

// Coordinate is a place in the space of round trips: the distance of two estimates the round trip between them in ms. See package vivaldi.
type Coordinate struct {
	// Vector is in ms, Height what the way to the network itself takes, in ms.
	Vector [3]float64 `json:"v"`
	Height float64    `json:"h"`
	// Error is how far off estimates were lately, as a part of the round trip: 0 to 1.
	Error float64 `json:"e"`
}

// What a proximity is measured in.
const (
	ProximityLatency = "latency" // round trip, in ms
	ProximityGeo     = "geo"     // distance on the earth, in km
)

// Proximity is a demand on where an instance runs: near a place, or near those who run another service. Root resolves names when it gives
// the instance to a cluster.
type Proximity struct {
	// Kind is [ProximityLatency] or [ProximityGeo].
	Kind string `json:"kind"`
	// Threshold is the most that there may be between the instance and the nearest of Points, in ms or km.
	Threshold float64 `json:"threshold"`
	// Rigidness is above 0 and at most 1; 0 stands for 1. Nothing is placed beyond Threshold ÷ Rigidness; what is between the two is taken only
	// if nothing is within Threshold.
	Rigidness float64 `json:"rigidness,omitempty"`
	// ConvergenceTime is for how many seconds the demand may be missed by an instance that runs before another place is looked for; 0 for ever.
	ConvergenceTime float64 `json:"convergence_time,omitempty"`
	// Name is what people call the place or service.
	Name string `json:"name,omitempty"`
	// Service is the id of the service that is to be near; its instances in a cluster are known there, and Points are those elsewhere.
	Service string `json:"service,omitempty"`
	// Points are what is to be near. None for a place says that nobody knows where it is; none for a service, that nothing of it runs.
	Points []Point `json:"points,omitempty"`
}

// Point is where something is, as far as is known.
type Point struct {
	Location *Location `json:"location,omitempty"`
	// RadiusKM is within what distance of Location it is.
	RadiusKM float64 `json:"radius_km,omitempty"`
	// Coordinate is where it is in the network, within SpreadMS.
	Coordinate *Coordinate `json:"coordinate,omitempty"`
	SpreadMS   float64     `json:"spread_ms,omitempty"`
	// Cluster is the id of the cluster that it is in, if it is a service's instance or a cluster itself.
	Cluster string `json:"cluster,omitempty"`
	// RoundTripMS is what root knows of the way from the cluster that is told of this to Cluster and back, as measured between their workers; 0 if
	// nothing was measured.
	RoundTripMS float64 `json:"round_trip_ms,omitempty"`
}
