// Claimed; being written right now by the client and command-line agent.
