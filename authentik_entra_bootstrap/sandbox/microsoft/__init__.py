"""The embedded Entra ID tenant: token service and Microsoft Graph v1.0."""
