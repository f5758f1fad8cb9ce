"""What stands behind the AgentRuntime port."""
