"""A page in a browser, and the same as REST and MCP tools: `moda app`. Needs Gradio (`moda[app]`)."""
