"""A service that takes video files over HTTP: `clipduet serve --bundle B`.

A request passes these modules, from the outside in:

server              the process: sockets, slow connections, signals
guard               around all routes: tokens, headers, refused bodies; `tokens` reads the file
app                 all routes; those of health, counters (`metrics`), the page (`page/`) and the
                    description of all routes (`api_page`)
predict_route       POST /predict; `frames`: what the network saw, as JPEG
open_inference      the Open Inference Protocol: its routes, JSON and tensors
uploads             the body, within its limits, as files in one `folder`
service             the queue, reading in processes (`infer.isolation`), the network

`limits` says what is taken in at most, `refusal` has the errors of all. `__main__` is the command,
`options` its options, `opening` opens what they name; `ray` does so in replicas of Ray Serve.
"""
