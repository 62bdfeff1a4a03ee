// A producer: puts requests on a lane. go run ./producer [-lane urgent] ID…
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"headrace.example"
)

func main() {
	lane := flag.String("lane", "standard", "urgent, standard or bulk")
	tenant := flag.String("tenant", "acme", "whose work it is")
	flag.Parse()

	// By default franz-go is idempotent and waits for all in-sync replicas.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(headrace.Brokers()...),
		kgo.DefaultProduceTopic(headrace.Prefix()+".requests."+*lane),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for _, id := range flag.Args() {
		value, err := json.Marshal(headrace.Request{
			ID:     id,
			Tenant: *tenant,
			Body: map[string]any{
				"model":    "gpt-4o-mini",
				"messages": []map[string]string{{"role": "user", "content": "Write a first e-mail for " + id + "."}},
			},
			Metadata: map[string]any{"from": "go"},
		})
		if err != nil {
			log.Fatal(err)
		}
		placed, err := client.ProduceSync(context.Background(), &kgo.Record{Key: []byte(*tenant), Value: value}).First()
		if err != nil {
			log.Fatalf("%s was not submitted: %v; send it again with the same id", id, err)
		}
		fmt.Printf("%s submitted: %s/%d/%d\n", id, placed.Topic, placed.Partition, placed.Offset)
	}
}
