"""What the outside tests share: a wire format of their own, a raw client, a real deployment."""
