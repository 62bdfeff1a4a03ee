"""OpenAI's Files and Batch API in front of the lanes: uploads, batches, their runs, and their contents.

All state is records of one topic, `<prefix>.batches`, whose first partition is the catalogue: one small record for each
file and batch that was created, deleted or has ended. The other partitions hold what is large: parts of files, and the
progress and answers of batches. Any replica answers any request; a consumer group decides which one runs a batch.

| module | what it is |
|---|---|
| `records` | shapes and codec of the records |
| `names` | ids of files, batches and their lines' requests |
| `lines` | lines of an input file: what is wrong with them, the requests that they become |
| `answer_lines` | outcomes as lines of the output and error files |
| `state` | fold of a batch's records |
| `plan` | what a run does next |
| `batch_object` | a state as OpenAI's batch object |
| `catalogue` | fold of the catalogue's records, and its follower |
| `store` | the records in Kafka: appended, streamed |
| `run`, `runner` | one batch, driven to its end; all batches of a replica |
| `uploads`, `requests_of_files`, `requests_of_batches` | the HTTP handlers |
| `service` | composition |

`records` to `batch_object` do no I/O and know no clock. No budget and no lane order belongs here: a line is a request
like any other, on a lane of its key.
"""
