// A reader: acts on outcomes, at least once. go run ./reader [-group NAME] [-count N]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
	"headrace.example"
)

func main() {
	group := flag.String("group", "lead-mailer", "members of one group share the outcomes")
	count := flag.Int("count", 0, "end after so many; 0: go on until SIGTERM")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	client, err := kgo.NewClient(
		kgo.SeedBrokers(headrace.Brokers()...),
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(headrace.Prefix()+".results"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // without it the reader would see outcomes that never happened
		kgo.AutoCommitMarks(),                        // only handled outcomes are committed
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	type identity struct {
		id  string
		run int
	}
	seen := map[identity]bool{} // a committed reader gets each once; after a restart the last ones come again
	for *count == 0 || len(seen) < *count {
		fetches := client.PollRecords(ctx, 500)
		if ctx.Err() != nil {
			break
		}
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			var outcome headrace.Outcome
			if err := json.Unmarshal(record.Value, &outcome); err != nil {
				log.Printf("no outcome at %s/%d/%d: %v", record.Topic, record.Partition, record.Offset, err)
			} else if key := (identity{outcome.ID, outcome.Run}); !seen[key] {
				seen[key] = true
				said, _ := json.Marshal(map[string]string{"id": outcome.ID, "status": outcome.Status, "text": outcome.Text()})
				fmt.Println(string(said))
			}
			client.MarkCommitRecords(record)
		})
	}
	if err := client.CommitMarkedOffsets(context.Background()); err != nil {
		log.Fatal(err)
	}
}
